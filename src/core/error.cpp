// SPDX-License-Identifier: Apache-2.0
#include <lamella/error.hpp>

#include <cstdio>

#include "core/check.hpp"

namespace lamella {

std::string_view name(ErrorCode code) noexcept {
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

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(core::concat(message, " [", name(code), "]")), code_(code) {}
Error::~Error() = default;
ArgumentError::~ArgumentError() = default;
LoadError::~LoadError() = default;
DeviceError::~DeviceError() = default;

namespace core {

void throw_argument(ErrorCode code, const std::string& message) { throw ArgumentError(code, message); }

void throw_internal(const char* file, int line, const std::string& message) {
  throw Error(ErrorCode::internal, concat(file, ":", line, ": ", message));
}

namespace {

/// Length of the valid UTF-8 sequence at the front of `text`, 0 when there is none.
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

/// C0 and C1 controls, and the marks that turn the direction of text around.
bool hidden(std::string_view sequence) {
  const auto lead = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return lead < 0x20 || lead == 0x7F;
  const auto second = static_cast<unsigned char>(sequence[1]);
  if (sequence.size() == 2) return lead == 0xC2 && second < 0xA0;
  if (sequence.size() != 3 || lead != 0xE2) return false;
  const auto third = static_cast<unsigned char>(sequence[2]);
  return second == 0x80 ? (third >= 0x8B && third <= 0x8F) || (third >= 0xA8 && third <= 0xAE)
                        : second == 0x81 && third >= 0xA6 && third <= 0xA9;
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
