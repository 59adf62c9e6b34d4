// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/hdf5.hpp"

#include "keras/hdf5/heap.hpp"
#include "keras/hdf5/type.hpp"

namespace lamella::keras {

namespace {

using hdf5::Attribute;
using hdf5::File;
using hdf5::Kind;
using hdf5::Space;
using hdf5::Type;

constexpr std::uint64_t kMaxStrings = 1'000'000;

std::string trimmed(std::string_view text, bool space_padded) {
  text = text.substr(0, text.find('\0'));
  if (space_padded) text = text.substr(0, text.find_last_not_of(' ') + 1);
  return std::string(text);
}

std::vector<std::string> strings_of(const File& file, const Attribute& attribute, const std::string& place) {
  const Space space = hdf5::parse_space(file.image(), attribute.space, place);
  if (space.elements == 0) return {};
  const Type type = hdf5::parse_type(attribute.type, place);
  if (type.kind != Kind::text && type.kind != Kind::variable_text) {
    fail(ErrorCode::dtype, place, "elements of class '{}', expected strings", type.name);
  }
  if (space.extents.size() > 1) fail(ErrorCode::shape, place, "strings of rank {}, allowed 0 and 1", space.extents.size());
  if (space.elements > kMaxStrings) fail(ErrorCode::limit, place, "{} strings, allowed {}", space.elements, kMaxStrings);
  ByteReader reader(attribute.data, ErrorCode::hdf5, place, "attribute data");
  std::vector<std::string> strings;
  for (std::uint64_t i = 0; i < space.elements; ++i) {
    file.image().charge(sizeof(std::string), place);
    if (type.kind == Kind::text) {
      strings.push_back(trimmed(reader.text(type.size), type.space_padded));
      continue;
    }
    const std::uint32_t size = reader.u32();
    const std::uint64_t address = file.image().address(reader);
    const std::uint32_t index = reader.u32();
    if (size == 0) {
      strings.emplace_back();
      continue;
    }
    const Bytes object = hdf5::global_heap_object(file.image(), address, index, place);
    if (size > object.size()) fail(ErrorCode::hdf5, place, "a string of {} bytes in a heap object of {}", size, object.size());
    file.image().charge(size, place);
    strings.push_back(trimmed(as_text(object.first(size)), false));
  }
  return strings;
}

Shape shape_from(const Space& space) {
  if (space.null) return Shape{0};
  std::vector<std::int64_t> extents;
  for (const std::uint64_t extent : space.extents) extents.push_back(static_cast<std::int64_t>(extent));
  return Shape(extents);
}

struct Header {
  Type type;
  Space space;
};

Header header_of(const File& file, const File::Node& node, const std::string& place) {
  if (!node.object.is_dataset()) fail(ErrorCode::hdf5, place, "is a group, expected a dataset");
  Header header{hdf5::parse_type(node.object.need(hdf5::kDatatype, "datatype", place).body, place),
                hdf5::parse_space(file.image(), node.object.need(hdf5::kDataspace, "dataspace", place).body, place)};
  if (header.type.kind != Kind::opaque || header.type.size != 2) return header;
  const auto mark = hdf5::find_attribute(file.image(), node.object, "dtype", place);
  if (!mark) return header;
  const std::vector<std::string> named = strings_of(file, *mark, place);
  if (named.size() == 1 && named.front() == "bfloat16") header.type.kind = Kind::bfloat;
  return header;
}

std::optional<Attribute> attribute_of(File& file, std::string_view path, std::string_view name) {
  return hdf5::find_attribute(file.image(), file.need(path).object, name, file.place_of(path));
}

std::string attribute_place(const File& file, std::string_view path, std::string_view name) {
  return file.where().object(path).attribute(name).text();
}

}  // namespace

bool H5File::looks_like(Bytes bytes) noexcept { return hdf5::find_superblock(bytes).has_value(); }

H5File::H5File(OwnedBytes file, Where where, std::uint64_t source_bytes)
    : file_(std::make_unique<File>(std::move(file), std::move(where), source_bytes)) {
  if (!file_->need("/").object.is_group()) fail(ErrorCode::hdf5, file_->place_of("/"), "the root is not a group");
}
H5File::~H5File() = default;

bool H5File::has_group(std::string_view path) const {
  const File::Node* node = file_->find(path);
  return node != nullptr && node->object.is_group();
}

bool H5File::has_dataset(std::string_view path) const {
  const File::Node* node = file_->find(path);
  return node != nullptr && node->object.is_dataset();
}

std::uint64_t H5File::size() const noexcept { return file_->image().source_bytes(); }

std::vector<std::string> H5File::children(std::string_view path) const {
  File::Node& node = file_->need(path);
  const std::string place = file_->place_of(path);
  if (!node.object.is_group()) fail(ErrorCode::hdf5, place, "is a dataset, expected a group");
  std::vector<std::string> names;
  for (const auto& [name, address] : file_->links_of(node, place)) names.push_back(name);
  return names;
}

H5Dataset H5File::dataset(std::string_view path) const {
  File::Node& node = file_->need(path);
  const std::string place = file_->place_of(path);
  const Header header = header_of(*file_, node, place);
  H5Dataset result{hdf5::dtype_of(header.type, place), shape_from(header.space), {}};
  const OwnedBytes raw = hdf5::read_elements(file_->image(), node.object, header.type, header.space, place);
  result.bytes = hdf5::to_native(file_->image(), header.type, raw, place);
  return result;
}

bool H5File::has_attribute(std::string_view path, std::string_view name) const {
  return attribute_of(*file_, path, name).has_value();
}

std::optional<std::vector<std::string>> H5File::strings_attribute(std::string_view path, std::string_view name) const {
  const auto attribute = attribute_of(*file_, path, name);
  if (!attribute) return std::nullopt;
  return strings_of(*file_, *attribute, attribute_place(*file_, path, name));
}

std::optional<std::string> H5File::string_attribute(std::string_view path, std::string_view name) const {
  auto strings = strings_attribute(path, name);
  if (!strings) return std::nullopt;
  if (strings->size() != 1)
    fail(ErrorCode::shape, attribute_place(*file_, path, name), "{} strings, expected one", strings->size());
  return std::move(strings->front());
}

}  // namespace lamella::keras
