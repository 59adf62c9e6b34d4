// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/type.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

namespace lamella::keras::hdf5 {

namespace {

static_assert(std::endian::native == std::endian::little, "elements are used as stored, in little-endian order");

constexpr std::array<std::string_view, 12> kClassNames = {"integer",     "float",           "time",     "string",
                                                          "bitfield",    "opaque",          "compound", "reference",
                                                          "enumeration", "variable length", "array",    "complex"};
constexpr std::uint64_t kMaxElement = 1U << 20U;

struct FloatForm {
  std::uint64_t size;
  unsigned sign, exponent_at, exponent_size, mantissa_size;
  std::uint32_t bias;
  Kind kind;
};
constexpr FloatForm kFloats[] = {{2, 15, 10, 5, 10, 15, Kind::floating},
                                 {2, 15, 7, 8, 7, 127, Kind::bfloat},
                                 {4, 31, 23, 8, 23, 127, Kind::floating},
                                 {8, 63, 52, 11, 52, 1023, Kind::floating}};

void parse_integer(ByteReader& reader, unsigned flags, Type& type, std::string_view place) {
  type.kind = Kind::integer;
  type.big_endian = (flags & 1U) != 0;
  type.is_signed = (flags & 8U) != 0;
  const std::uint16_t offset = reader.u16();
  const std::uint16_t precision = reader.u16();
  const bool known =
      (type.size == 1 || type.size == 2 || type.size == 4 || type.size == 8) && offset == 0 && precision == 8 * type.size;
  if (!known)
    fail(ErrorCode::dtype, place, "integers of {} bits in {} bytes, allowed whole 1, 2, 4, 8 bytes", precision, type.size);
}

void parse_float(ByteReader& reader, unsigned flags, Type& type, std::string_view place) {
  type.big_endian = (flags & 1U) != 0;
  const unsigned sign = flags >> 8U & 0xFFU;
  const unsigned offset = reader.u16();
  const unsigned precision = reader.u16();
  const unsigned exponent_at = reader.u8();
  const unsigned exponent_size = reader.u8();
  const unsigned mantissa_at = reader.u8();
  const unsigned mantissa_size = reader.u8();
  const std::uint32_t bias = reader.u32();
  const bool plain =
      (flags & 0x40U) == 0 && (flags >> 4U & 3U) == 2 && offset == 0 && precision == 8 * type.size && mantissa_at == 0;
  for (const FloatForm& form : kFloats) {
    if (plain && form.size == type.size && form.sign == sign && form.exponent_at == exponent_at &&
        form.exponent_size == exponent_size && form.mantissa_size == mantissa_size && form.bias == bias) {
      type.kind = form.kind;
      return;
    }
  }
  fail(ErrorCode::dtype, place,
       "floats of {} bytes with {} exponent and {} mantissa bits, allowed float16, bfloat16, float32, float64", type.size,
       exponent_size, mantissa_size);
}

template <typename T>
T load(const std::byte* from, bool big_endian) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if (big_endian) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

template <typename T>
void swap_copy(Bytes raw, std::byte* out) {
  for (std::size_t i = 0; i < raw.size(); i += sizeof(T)) {
    const T value = load<T>(raw.data() + i, true);
    std::memcpy(out + i, &value, sizeof(T));
  }
}

}  // namespace

Type parse_type(Bytes body, std::string_view place) {
  ByteReader reader(body, ErrorCode::hdf5, place, "datatype message");
  unsigned head = reader.u8();
  unsigned flags = static_cast<unsigned>(reader.uint(3));
  Type type;
  type.size = reader.u32();
  if ((head >> 4U) < 1 || (head >> 4U) > 5) fail(ErrorCode::hdf5, place, "datatype version {}, allowed 1 to 5", head >> 4U);
  const unsigned kind = head & 0x0FU;
  if (kind >= kClassNames.size()) fail(ErrorCode::hdf5, place, "datatype class {}, allowed 0 to 11", kind);
  type.name = kClassNames[kind];
  if (type.size == 0 || type.size > kMaxElement)
    fail(ErrorCode::hdf5, place, "elements of {} bytes, allowed 1 to {}", type.size, kMaxElement);
  if (kind == 8) {  // an enumeration has an integer base type, as h5py's booleans do
    head = reader.u8();
    flags = static_cast<unsigned>(reader.uint(3));
    const std::uint32_t size = reader.u32();
    if ((head & 0x0FU) != 0 || size != type.size)
      fail(ErrorCode::hdf5, place, "an enumeration whose base type is not an integer");
    parse_integer(reader, flags, type, place);
  } else if (kind == 0) {
    parse_integer(reader, flags, type, place);
  } else if (kind == 1) {
    parse_float(reader, flags, type, place);
  } else if (kind == 3) {
    type.kind = Kind::text;
    type.space_padded = (flags & 0x0FU) == 2;
  } else if (kind == 5) {
    type.kind = Kind::opaque;
  } else if (kind == 9 && (flags & 0x0FU) == 1) {
    type.kind = Kind::variable_text;
  }
  return type;
}

Space parse_space(const Image& image, Bytes body, std::string_view place) {
  ByteReader reader(body, ErrorCode::hdf5, place, "dataspace message");
  const int version = reader.u8();
  const int rank = reader.u8();
  const bool may_grow = (reader.u8() & 1U) != 0;
  if (version != 1 && version != 2) fail(ErrorCode::hdf5, place, "dataspace version {}, allowed 1 and 2", version);
  Space space;
  if (version == 1) {
    reader.skip(5);
  } else {
    const int kind = reader.u8();
    if (kind > 2 || (kind != 1 && rank != 0)) fail(ErrorCode::hdf5, place, "dataspace of kind {} and rank {}", kind, rank);
    space.null = kind == 2;
  }
  if (rank > Shape::kMaxRank) fail(ErrorCode::limit, place, "rank {}, allowed 0 to {}", rank, Shape::kMaxRank);
  if (space.null) space.elements = 0;
  std::uint64_t nonzero = 1;  // a zero must not hide that the others do not fit
  for (int i = 0; i < rank; ++i) {
    const std::uint64_t extent = image.length(reader);
    const auto product = core::checked_mul<std::uint64_t>(nonzero, std::max<std::uint64_t>(extent, 1));
    if (!product || *product > std::numeric_limits<std::int64_t>::max()) {
      fail(ErrorCode::overflow, place, "the number of elements does not fit into 63 bits");
    }
    nonzero = *product;
    space.extents.push_back(extent);
    space.elements *= extent;
  }
  for (int i = 0; may_grow && i < rank; ++i) space.most.push_back(image.length(reader));
  return space;
}

DType dtype_of(const Type& type, std::string_view place) {
  switch (type.kind) {
    case Kind::integer:
      if (type.size == 1) return type.is_signed ? DType::int8 : DType::uint8;
      if (type.size == 2) return type.is_signed ? DType::int16 : DType::uint16;
      if (type.size == 4) return type.is_signed ? DType::int32 : DType::uint32;
      return type.is_signed ? DType::int64 : DType::uint64;
    case Kind::floating:
      return type.size == 2 ? DType::float16 : type.size == 4 ? DType::float32 : DType::float64;
    case Kind::bfloat:
      return DType::bfloat16;
    default:
      break;
  }
  fail(ErrorCode::dtype, place, "elements of class '{}', allowed integers and floats", type.name);
}

OwnedBytes to_native(const Image& image, const Type& type, OwnedBytes raw, std::string_view place) {
  const DType dtype = dtype_of(type, place);
  const std::size_t size = size_of(dtype);
  const bool swapped = type.big_endian && size > 1;
  if (!swapped && reinterpret_cast<std::uintptr_t>(raw.bytes.data()) % size == 0) return raw;
  const std::size_t bytes = raw.bytes.size() / size * size;
  image.charge(bytes, place);
  const Buffer out(bytes);
  if (!swapped) {
    if (bytes != 0) std::memcpy(out.data, raw.bytes.data(), bytes);
  } else if (size == 2) {
    swap_copy<std::uint16_t>(raw.bytes, out.data);
  } else if (size == 4) {
    swap_copy<std::uint32_t>(raw.bytes, out.data);
  } else {
    swap_copy<std::uint64_t>(raw.bytes, out.data);
  }
  return out.freeze();
}

}  // namespace lamella::keras::hdf5
