// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <lamella/error.hpp>

#include "core/format.hpp"

namespace lamella::core {

/// `text` escaped for a message: control bytes and invalid UTF-8 as \xNN, at most `limit` bytes, "..." if cut.
[[nodiscard]] LAMELLA_API std::string escaped(std::string_view text, std::size_t limit = 256);

/// The what() of an Error without the code in brackets at its end, to be rethrown with more context.
[[nodiscard]] inline std::string_view without_code(std::string_view what) {
  const std::size_t at = what.rfind(" [E_");
  return at == std::string_view::npos ? what : what.substr(0, at);
}

/// a * b and a + b for non-negative numbers; nothing if the result does not fit.
template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) noexcept {
  T result{};
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}
template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) noexcept {
  T result{};
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// Exported for the CUDA plugin and the command.
[[noreturn]] LAMELLA_API void throw_argument(ErrorCode code, const std::string& message);
[[noreturn]] LAMELLA_API void throw_internal(const char* file, int line, const std::string& message);

/// A C string that a caller must pass. Throws ArgumentError (argument) for null.
[[nodiscard]] inline std::string_view not_null(const char* text, const char* what) {
  if (text == nullptr) throw_argument(ErrorCode::argument, format("{}: got null", what));
  return text;
}

}  // namespace lamella::core

/// The caller's mistake: throws ArgumentError(code) with a message formatted by format().
#define LAMELLA_EXPECTS(condition, code, ...)                                                                            \
  do {                                                                                                                   \
    if (!(condition)) ::lamella::core::throw_argument(::lamella::ErrorCode::code, ::lamella::core::format(__VA_ARGS__)); \
  } while (false)

/// Our own mistake: throws Error(internal).
#define LAMELLA_ASSERT(condition, ...)                                                                           \
  do {                                                                                                           \
    if (!(condition)) ::lamella::core::throw_internal(__FILE__, __LINE__, ::lamella::core::format(__VA_ARGS__)); \
  } while (false)
