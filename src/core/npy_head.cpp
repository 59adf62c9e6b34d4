// SPDX-License-Identifier: Apache-2.0
#include "core/npy_head.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <lamella/error.hpp>

#include "core/check.hpp"
#include "core/format.hpp"

namespace lamella::core {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

template <typename... Args>
[[noreturn]] void fail(ErrorCode code, const std::string& where, FormatString<Args...> message, const Args&... args) {
  throw LoadError(code, escaped(where) + ": " + core::format(message, args...));
}

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// The header's Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }. Strings, booleans and tuples of
/// integers.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Header parse() {
    Header header;
    bool descr = false;
    bool order = false;
    bool shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !descr) {
        if (peek() != '\'' && peek() != '"')
          fail(ErrorCode::dtype, where_, "npy header 'descr': got a structured type, allowed is one plain type");
        header.descr = string();
        descr = true;
      } else if (key == "fortran_order" && !order) {
        header.fortran_order = boolean();
        order = true;
      } else if (key == "shape" && !shape) {
        header.shape = tuple();
        shape = true;
      } else {
        fail(ErrorCode::value, where_, "npy header: key '{}' is unknown or appears twice", escaped(key));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (!descr || !order || !shape)
      fail(ErrorCode::missing, where_, "npy header: descr, fortran_order and shape are all required");
    static_cast<void>(peek());
    if (at_ != text_.size()) bad("the end");
    return header;
  }

 private:
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad(core::format("'{}'", c));
  }
  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') bad("a string");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) bad("the end of a string");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    static_cast<void>(peek());
    for (const auto& [word, value] : {std::pair{std::string_view("True"), true}, std::pair{std::string_view("False"), false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    bad("True or False");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      static_cast<void>(peek());
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (error == std::errc::result_out_of_range)
        fail(ErrorCode::overflow, where_, "npy header 'shape': an extent does not fit into 64 bits");
      if (error != std::errc{}) bad("an integer");
      at_ = static_cast<std::size_t>(end - text_.data());
      accept('L');  // the suffix of Python 2's long integers
      if (value < 0) fail(ErrorCode::shape, where_, "npy header 'shape': got {}, allowed 0..", value);
      values.push_back(value);
      if (values.size() > Shape::kMaxRank)
        fail(ErrorCode::shape, where_, "npy header 'shape': more than {} extents", Shape::kMaxRank);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }
  [[noreturn]] void bad(const std::string& wanted) {
    fail(ErrorCode::value, where_, "npy header at byte {}: expected {}", at_, wanted);
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
};

/// numpy's letters for an element type; bfloat16 has none.
struct Letters {
  std::string_view text;
  DType dtype;
};
constexpr std::array kLetters{Letters{"f2", DType::float16}, Letters{"f4", DType::float32}, Letters{"f8", DType::float64},
                              Letters{"i1", DType::int8},    Letters{"i2", DType::int16},   Letters{"i4", DType::int32},
                              Letters{"i8", DType::int64},   Letters{"u1", DType::uint8},   Letters{"u2", DType::uint16},
                              Letters{"u4", DType::uint32},  Letters{"u8", DType::uint64},  Letters{"b1", DType::boolean}};

NpyElement element_of(const std::string& descr, const std::string& where) {
  std::string allowed;
  for (const Letters& letters : kLetters) {
    const bool one_byte = size_of(letters.dtype) == 1;
    if (descr.size() == 3 && std::string_view(descr).substr(1) == letters.text) {
      const char order = descr[0];
      if (order == '<' || order == '>' || order == '=' || (order == '|' && one_byte))
        return {letters.dtype, order == '>' && !one_byte};
    }
    allowed += core::format("{}{}", allowed.empty() ? "" : ", ", letters.text);
  }
  fail(ErrorCode::dtype, where, "npy header 'descr': got '{}', allowed {} after a byte order", escaped(descr), allowed);
}

/// The position of element `index` (row-major) in Fortran order.
std::int64_t fortran_index(std::int64_t index, const Shape& shape) {
  std::array<std::int64_t, Shape::kMaxRank> at{};
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    at[static_cast<std::size_t>(axis)] = index % shape[axis];
    index /= shape[axis];
  }
  std::int64_t result = 0;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) result = result * shape[axis] + at[static_cast<std::size_t>(axis)];
  return result;
}

}  // namespace

NpyHead parse_npy_head(std::span<const std::byte> begin, std::optional<std::size_t> size, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(begin.data()), begin.size());
  if (!text.starts_with(kMagic)) fail(ErrorCode::value, where, "not an npy file: it does not begin with \\x93NUMPY");
  if (text.size() < 10) fail(ErrorCode::value, where, "an npy header of {} bytes is truncated", text.size());
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(text[i])); };
  const std::size_t major = byte(6);
  if (major < 1 || major > 3 || byte(7) != 0)
    fail(ErrorCode::unsupported, where, "npy version {}.{}, allowed 1.0, 2.0, 3.0", major, byte(7));
  const std::size_t prefix = major == 1 ? 10 : 12;
  if (text.size() < prefix) fail(ErrorCode::value, where, "an npy header of {} bytes is truncated", text.size());
  const std::size_t length = byte(8) | byte(9) << 8U | (major == 1 ? 0 : byte(10) << 16U | byte(11) << 24U);
  if (length > kLongestNpyHeader)
    fail(ErrorCode::limit, where, "npy header length: got {}, allowed 0..{}", length, kLongestNpyHeader);
  if (text.size() - prefix < length)
    fail(ErrorCode::value, where, "npy header length: got {}, the file has {} bytes after it", length, text.size() - prefix);
  const Header header = HeaderParser(text.substr(prefix, length), where).parse();
  NpyHead head;
  head.element = element_of(header.descr, where);
  head.fortran_order = header.fortran_order;
  head.data_at = prefix + length;
  try {
    head.shape = Shape(header.shape);
  } catch (const ArgumentError& error) {
    fail(error.code(), where, "npy header 'shape': {}", error.what());
  }
  const auto needed = checked_mul(static_cast<std::size_t>(head.shape.elements()), size_of(head.element.dtype));
  if (!needed || (size && *needed != *size - head.data_at)) {
    fail(ErrorCode::shape, where, "{} of {} needs {} bytes, the file has {}", to_string(head.shape), escaped(header.descr),
         needed ? core::format("{}", *needed) : "too many", size ? core::format("{}", *size - head.data_at) : "fewer");
  }
  head.data_bytes = *needed;
  return head;
}

void npy_to_host(std::span<std::byte> data, const NpyElement& element) {
  const std::size_t size = size_of(element.dtype);
  if (element.swapped) {
    for (std::size_t at = 0; at + size <= data.size(); at += size) std::reverse(&data[at], &data[at] + size);
  } else if (element.dtype == DType::boolean) {
    for (std::byte& value : data) value = std::byte{value != std::byte{0}};
  }
}

Tensor npy_in_c_order(Tensor fortran) {
  const Shape shape = fortran.shape();
  if (shape.rank() <= 1) return fortran;
  Tensor result(shape, fortran.dtype());
  const std::size_t size = size_of(fortran.dtype());
  auto* const dst = static_cast<std::byte*>(result.data());
  const auto* const src = static_cast<const std::byte*>(std::as_const(fortran).data());
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    const auto from = static_cast<std::size_t>(fortran_index(i, shape));
    std::memcpy(dst + static_cast<std::size_t>(i) * size, src + from * size, size);
  }
  return result;
}

std::string npy_header(DType dtype, const Shape& shape) {
  const auto letters = std::find_if(kLetters.begin(), kLetters.end(), [&](const Letters& l) { return l.dtype == dtype; });
  LAMELLA_ASSERT(letters != kLetters.end(), "numpy has no {}", to_string(dtype));
  std::string header = core::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': {}, }}",
                                    size_of(letters->dtype) == 1 ? '|' : '<', letters->text, to_string(shape));
  constexpr std::size_t kPrefix = 10;
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  return std::string(kMagic) + '\x01' + '\0' + static_cast<char>(length & 0xFFU) + static_cast<char>(length >> 8U) + header;
}

}  // namespace lamella::core
