// SPDX-License-Identifier: Apache-2.0
// .safetensors: eight bytes with the length of a JSON text, the text, which tells names, types, shapes and places, and the
// elements.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/npy_head.hpp"
#include "core/owned_json.hpp"
#include "keras/arrays.hpp"
#include "keras/json.hpp"

namespace lamella::keras {
namespace {

constexpr std::size_t kLengthBytes = 8;

struct ElementName {
  std::string_view text;
  DType dtype;
};
constexpr ElementName kElementTypes[] = {
    {"BF16", DType::bfloat16}, {"F16", DType::float16}, {"F32", DType::float32}, {"F64", DType::float64}, {"I8", DType::int8},
    {"I16", DType::int16},     {"I32", DType::int32},   {"I64", DType::int64},   {"U8", DType::uint8},    {"U16", DType::uint16},
    {"U32", DType::uint32},    {"U64", DType::uint64},  {"BOOL", DType::boolean}};

/// An array, and where its elements are in the data.
struct StoredArray {
  std::string name;
  Shape shape;
  DType dtype = DType::float32;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

DType dtype_of_entry(const nlohmann::json& entry, const Where& where) {
  const auto field = entry.find("dtype");
  if (field == entry.end() || !field->is_string()) where.fail_sentence(ErrorCode::json, "has no string 'dtype'");
  std::string allowed;
  for (const auto& [text, dtype] : kElementTypes) {
    if (field->get_ref<const std::string&>() == text) return dtype;
    allowed += core::format("{}{}", allowed.empty() ? "" : ", ", text);
  }
  where.fail(ErrorCode::dtype, "dtype: got '{}', allowed {}", core::escaped(field->get_ref<const std::string&>(), 64), allowed);
}

/// The numbers of a list, none negative.
std::vector<std::uint64_t> numbers_of(const nlohmann::json& entry, const char* key, std::size_t most, const Where& where) {
  const auto field = entry.find(key);
  if (field == entry.end() || !field->is_array()) where.fail_sentence(ErrorCode::json, "has no list '{}'", key);
  if (field->size() > most) where.fail(ErrorCode::limit, "{}: got {} numbers, allowed 0..{}", key, field->size(), most);
  std::vector<std::uint64_t> numbers;
  for (const nlohmann::json& number : *field) {
    if (!number.is_number_unsigned())
      where.fail(ErrorCode::value, "{}: got {}, allowed integers 0..", key, core::escaped(number.dump(), 64));
    numbers.push_back(number.get<std::uint64_t>());
  }
  return numbers;
}

Shape shape_of_entry(const nlohmann::json& entry, const Where& where) {
  std::vector<std::int64_t> extents;
  for (const std::uint64_t extent : numbers_of(entry, "shape", Shape::kMaxRank, where)) {
    if (!std::in_range<std::int64_t>(extent)) where.fail(ErrorCode::overflow, "shape: {} does not fit into 63 bits", extent);
    extents.push_back(static_cast<std::int64_t>(extent));
  }
  try {
    return Shape(extents);
  } catch (const ArgumentError& error) {
    where.fail(error.code(), "shape: {}", core::without_code(error.what()));
  }
}

StoredArray stored_array(const std::string& name, const nlohmann::json& entry, std::uint64_t data_bytes, const Where& where) {
  const Where place = where.array(name);
  if (!entry.is_object()) place.fail_sentence(ErrorCode::json, "is not an object in the header");
  const DType dtype = dtype_of_entry(entry, place);
  const Shape shape = shape_of_entry(entry, place);
  const std::vector<std::uint64_t> offsets = numbers_of(entry, "data_offsets", 2, place);
  if (offsets.size() != 2) place.fail(ErrorCode::json, "data_offsets: got {} numbers, allowed 2", offsets.size());
  if (offsets[0] > offsets[1] || offsets[1] > data_bytes)
    place.fail(ErrorCode::value, "data_offsets: got {} to {}, the file has {} bytes of elements", offsets[0], offsets[1],
               data_bytes);
  const auto needed = core::checked_mul(static_cast<std::size_t>(shape.elements()), size_of(dtype));
  if (!needed || *needed != offsets[1] - offsets[0])
    place.fail(ErrorCode::shape, "{} of {} needs {} bytes, data_offsets give {}", to_string(shape), to_string(dtype),
               needed ? core::format("{}", *needed) : "too many", offsets[1] - offsets[0]);
  return {name, shape, dtype, offsets[0], offsets[1]};
}

/// Throws if the arrays overlap or leave bytes between them, where two readers could see different things.
void expect_no_gaps(std::vector<StoredArray>& entries, std::uint64_t data_bytes, const Where& where) {
  std::sort(entries.begin(), entries.end(),
            [](const StoredArray& a, const StoredArray& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t at = 0;
  for (const StoredArray& entry : entries) {
    if (entry.begin != at)
      where.array(entry.name)
          .fail(ErrorCode::unsafe, "its elements begin at byte {}, allowed is {}, where the previous array ends", entry.begin,
                at);
    at = entry.end;
  }
  if (at != data_bytes)
    where.fail(ErrorCode::unsafe, "the arrays end at byte {}, the file has {} bytes of elements", at, data_bytes);
}

}  // namespace

bool looks_like_safetensors(Bytes head, std::uint64_t size) noexcept {
  if (size < kLengthBytes + 2 || head.size() <= kLengthBytes || head[kLengthBytes] != std::byte{'{'}) return false;
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = length << 8U | std::to_integer<std::uint64_t>(head[i]);
  return length >= 2 && length <= size - kLengthBytes;
}

Arrays safetensors_arrays(Bytes file, const Where& where) {
  ByteReader reader(file, ErrorCode::archive, where.text(), "the .safetensors file");
  const Bytes header = reader.bytes(reader.u64());
  const Bytes data = reader.bytes(reader.left());
  const core::OwnedJson head(parse_json(header, where));
  if (!head->is_object()) where.fail(ErrorCode::json, "the header is not an object");
  std::vector<StoredArray> entries;
  for (const auto& [name, entry] : head->items()) {
    if (name != "__metadata__") entries.push_back(stored_array(name, entry, data.size(), where));
  }
  expect_no_gaps(entries, data.size(), where);
  Arrays arrays;
  for (const StoredArray& entry : entries) {
    Tensor array(entry.shape, entry.dtype);
    const std::span elements(static_cast<std::byte*>(array.data()), array.bytes());
    if (!elements.empty()) std::memcpy(elements.data(), data.data() + entry.begin, elements.size());
    core::npy_to_host(elements, {entry.dtype, false});
    arrays.emplace(entry.name, std::move(array));
  }
  return arrays;
}

}  // namespace lamella::keras
