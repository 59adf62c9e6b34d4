// SPDX-License-Identifier: Apache-2.0
#include <lamella/error.hpp>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include "core/check.hpp"

namespace lamella {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::argument:
      return "E_ARGUMENT";
    case ErrorCode::io:
      return "E_IO";
    case ErrorCode::archive:
      return "E_ARCHIVE";
    case ErrorCode::json:
      return "E_JSON";
    case ErrorCode::hdf5:
      return "E_HDF5";
    case ErrorCode::unsafe:
      return "E_UNSAFE";
    case ErrorCode::unsupported:
      return "E_UNSUPPORTED";
    case ErrorCode::limit:
      return "E_LIMIT";
    case ErrorCode::missing:
      return "E_MISSING";
    case ErrorCode::shape:
      return "E_SHAPE";
    case ErrorCode::dtype:
      return "E_DTYPE";
    case ErrorCode::value:
      return "E_VALUE";
    case ErrorCode::overflow:
      return "E_OVERFLOW";
    case ErrorCode::device:
      return "E_DEVICE";
    case ErrorCode::device_lost:
      return "E_DEVICE_LOST";
    case ErrorCode::out_of_memory:
      return "E_OUT_OF_MEMORY";
    case ErrorCode::cancelled:
      return "E_CANCELLED";
    case ErrorCode::internal:
      return "E_INTERNAL";
  }
  return "E_INTERNAL";
}

std::string printable(std::string_view text) { return core::escaped(text, std::string::npos); }

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(core::format("{} [{}]", message, to_string(code))), code_(code) {}
Error::~Error() = default;
ArgumentError::~ArgumentError() = default;
LoadError::~LoadError() = default;
DeviceError::~DeviceError() = default;

namespace core {

void throw_argument(ErrorCode code, const std::string& message) { throw ArgumentError(code, message); }

void throw_internal(const char* file, int line, const std::string& message) {
  throw Error(ErrorCode::internal, core::format("{}:{}: {}", file, line, message));
}

namespace {

/// Length of the valid UTF-8 sequence at the front of `text`; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xC2 && lead < 0xE0 ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;   // overlong
  if (lead == 0xED && byte(1) >= 0xA0) return 0;  // surrogates
  if (lead == 0xF0 && byte(1) < 0x90) return 0;   // overlong
  if (lead == 0xF4 && byte(1) >= 0x90) return 0;  // past U+10FFFF
  return length;
}

/// C0 and C1 controls, marks that change the direction of text, and zero-width characters, which are invisible.
bool hidden(std::string_view sequence) {
  constexpr unsigned kFirstBits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  unsigned point = static_cast<unsigned char>(sequence[0]) & kFirstBits[sequence.size()];
  for (const char c : sequence.substr(1)) point = point << 6U | (static_cast<unsigned char>(c) & 0x3FU);
  constexpr std::pair<unsigned, unsigned> kHidden[] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},     {0x61C, 0x61C},
                                                       {0x180E, 0x180E}, {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x2064},
                                                       {0x2066, 0x2069}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F}};
  return std::any_of(std::begin(kHidden), std::end(kHidden),
                     [&](const auto& r) { return point >= r.first && point <= r.second; });
}

}  // namespace

std::string escaped(std::string_view text, std::size_t limit) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    std::string piece;
    if (length == 0 || hidden(text.substr(0, length))) {
      for (std::size_t i = 0; i < (length == 0 ? 1 : length); ++i) {
        char code[5];
        static_cast<void>(
            std::snprintf(code, sizeof code, "\\x%02X", static_cast<unsigned>(static_cast<unsigned char>(text[i]))));
        piece += code;
      }
    } else {
      piece = text.substr(0, length);
    }
    if (out.size() + piece.size() > limit) return out + "...";
    out += piece;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace core
}  // namespace lamella
