// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/writer.hpp"

#include "keras/hdf5/checksum.hpp"
#include "keras/hdf5/file.hpp"

namespace lamella::keras {

/// A group, or, with a dtype, a dataset.
struct H5Writer::Object {
  std::map<std::string, std::unique_ptr<Object>, std::less<>> members = {};
  std::optional<DType> dtype = {};
  Shape shape = {};
  Bytes elements = {};
  std::uint64_t address = hdf5::kUndefined;           ///< of the header
  std::uint64_t elements_address = hdf5::kUndefined;  ///< of the elements, where there are some
};

namespace {

constexpr std::uint64_t kSuperblockSize = 48;
constexpr std::uint64_t kH5Alignment = 8;
constexpr std::size_t kLongestName = 0xFFFF;

/// Appends little-endian fields.
class H5Bytes {
 public:
  H5Bytes& u8(std::uint64_t value) { return number(value, 1); }
  H5Bytes& u16(std::uint64_t value) { return number(value, 2); }
  H5Bytes& u32(std::uint64_t value) { return number(value, 4); }
  H5Bytes& u64(std::uint64_t value) { return number(value, 8); }
  H5Bytes& text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  /// A message of an object header.
  H5Bytes& message(hdf5::MessageType type, const H5Bytes& body) {
    LAMELLA_ASSERT(body.bytes_.size() <= 0xFFFF, "a message of {} bytes", body.bytes_.size());
    return u8(type).u16(body.bytes_.size()).u8(0).text(body.bytes_);
  }
  H5Bytes& checksum() { return u32(hdf5::lookup3(std::as_bytes(std::span(bytes_)))); }
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  H5Bytes& number(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFFU);
    return *this;
  }
  std::string bytes_;
};

/// Version 1 of the message: class and bit field, size, then properties of the class.
H5Bytes datatype(DType dtype) {
  constexpr int kVersion = 1 << 4;
  constexpr int kSigned = 0x08;
  constexpr int kImpliedBit = 0x20;
  const std::size_t size = size_of(dtype);
  const std::size_t bits = 8 * size;
  const auto floating = [&](int exponent, int mantissa, int bias) {
    return H5Bytes()
        .u8(kVersion | 1)
        .u8(kImpliedBit)
        .u8(bits - 1)
        .u8(0)
        .u32(size)
        .u16(0)
        .u16(bits)
        .u8(static_cast<unsigned>(mantissa))
        .u8(static_cast<unsigned>(exponent))
        .u8(0)
        .u8(static_cast<unsigned>(mantissa))
        .u32(static_cast<unsigned>(bias));
  };
  if (dtype == DType::float16) return floating(5, 10, 15);
  if (dtype == DType::float32) return floating(8, 23, 127);
  if (dtype == DType::float64) return floating(11, 52, 1023);
  LAMELLA_ASSERT(!is_floating(dtype) && dtype != DType::boolean, "there is no HDF5 type for {}", to_string(dtype));
  const bool has_sign = to_string(dtype).front() == 'i';
  return H5Bytes().u8(kVersion).u8(has_sign ? kSigned : 0).u8(0).u8(0).u32(size).u16(0).u16(bits);
}

H5Bytes dataspace(const Shape& shape) {
  H5Bytes record;
  record.u8(2).u8(static_cast<std::uint64_t>(shape.rank())).u8(0).u8(shape.rank() == 0 ? 0 : 1);
  for (const std::int64_t extent : shape.extents()) record.u64(static_cast<std::uint64_t>(extent));
  return record;
}

H5Bytes link(std::string_view name, std::uint64_t address) {
  constexpr int kTwoBytesOfLength = 1;
  constexpr int kHasCharacterSet = 0x10;
  constexpr int kUtf8 = 1;
  LAMELLA_ASSERT(name.size() <= kLongestName, "a name of {} bytes", name.size());
  return H5Bytes().u8(1).u8(kTwoBytesOfLength | kHasCharacterSet).u8(kUtf8).u16(name.size()).text(name).u64(address);
}

/// The messages with header and checksum. `flags`: the length has four bytes, and there are no times.
std::string header_of(const H5Bytes& messages) {
  constexpr int kFourBytesOfLength = 2;
  return H5Bytes()
      .text("OHDR")
      .u8(2)
      .u8(kFourBytesOfLength)
      .u32(messages.bytes().size())
      .text(messages.bytes())
      .checksum()
      .bytes();
}

}  // namespace

H5Writer::H5Writer() : root_(std::make_unique<Object>()) {}
H5Writer::~H5Writer() = default;

H5Writer::Object& H5Writer::group_at(std::string_view path) {
  Object* at = root_.get();
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    std::unique_ptr<Object>& next = at->members[std::string(path.substr(0, end))];
    if (!next) next = std::make_unique<Object>();
    LAMELLA_ASSERT(!next->dtype, "a dataset is where a group should be");
    at = next.get();
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return *at;
}

void H5Writer::group(std::string_view path) { static_cast<void>(group_at(path)); }

void H5Writer::dataset(std::string_view group, std::string_view name, const Shape& shape, DType dtype, Bytes elements) {
  LAMELLA_ASSERT(elements.size() == static_cast<std::size_t>(shape.elements()) * size_of(dtype), "elements of another size");
  std::unique_ptr<Object>& made = group_at(group).members[std::string(name)];
  LAMELLA_ASSERT(!made, "two objects of one name");
  made = std::make_unique<Object>(Object{.dtype = dtype, .shape = shape, .elements = elements});
}

std::vector<Bytes> H5Writer::parts() {
  const auto header = [](const Object& object) {
    H5Bytes messages;
    if (!object.dtype) {
      messages.message(hdf5::kLinkInfo, H5Bytes().u8(0).u8(0).u64(hdf5::kUndefined).u64(hdf5::kUndefined));
      messages.message(hdf5::kGroupInfo, H5Bytes().u8(0).u8(0));
      for (const auto& [name, member] : object.members) messages.message(hdf5::kLink, link(name, member->address));
      return header_of(messages);
    }
    constexpr int kAllocatedLate = 2;
    constexpr int kWrittenIfSet = 2 << 2;
    constexpr int kContiguous = 1;
    messages.message(hdf5::kDataspace, dataspace(object.shape));
    messages.message(hdf5::kDatatype, datatype(*object.dtype));
    messages.message(hdf5::kFill, H5Bytes().u8(3).u8(kAllocatedLate | kWrittenIfSet));
    messages.message(hdf5::kLayout, H5Bytes().u8(3).u8(kContiguous).u64(object.elements_address).u64(object.elements.size()));
    return header_of(messages);
  };
  // The length of a header does not depend on addresses: lay out sizes first, then write.
  std::vector<Object*> objects{root_.get()};
  std::uint64_t end = kSuperblockSize;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    objects[i]->address = end;
    end += header(*objects[i]).size();
    for (const auto& [name, member] : objects[i]->members) objects.push_back(member.get());
  }
  const std::uint64_t metadata_end = (end + kH5Alignment - 1) / kH5Alignment * kH5Alignment;
  end = metadata_end;
  for (Object* object : objects) {
    if (object->elements.empty()) continue;
    object->elements_address = end;
    end += (object->elements.size() + kH5Alignment - 1) / kH5Alignment * kH5Alignment;
  }
  metadata_ = H5Bytes()
                  .text("\x89HDF\r\n\x1a\n")
                  .u8(2)
                  .u8(8)
                  .u8(8)
                  .u8(0)
                  .u64(0)
                  .u64(hdf5::kUndefined)
                  .u64(end)
                  .u64(root_->address)
                  .checksum()
                  .bytes();
  for (const Object* object : objects) metadata_ += header(*object);
  metadata_.resize(metadata_end, '\0');

  static constexpr std::byte kPadding[kH5Alignment] = {};
  std::vector<Bytes> parts{std::as_bytes(std::span(metadata_))};
  for (const Object* object : objects) {
    if (object->elements.empty()) continue;
    parts.push_back(object->elements);
    if (const std::size_t over = object->elements.size() % kH5Alignment; over != 0)
      parts.push_back(Bytes(kPadding).first(kH5Alignment - over));
  }
  return parts;
}

}  // namespace lamella::keras
