// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

#include <fmt/core.h>

#include <lamella/error.hpp>

namespace lamella::core {

/// The number of placeholders in a format string; doubled braces do not count.
consteval std::size_t places_in(std::string_view text) {
  std::size_t places = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{' && text[i] != '}') continue;
    if (i + 1 < text.size() && text[i + 1] == text[i])
      ++i;
    else if (text[i] == '{')
      ++places;
  }
  return places;
}

/// fmt's format string for arguments of these types, checked at compile time; also checks that each argument has a placeholder,
/// because fmt accepts too many arguments.
template <typename... Args>
class CheckedFormat {
 public:
  template <std::size_t kSize>
  consteval CheckedFormat(const char (&text)[kSize]) : text_(text) {  // NOLINT(google-explicit-constructor): a literal
    if (places_in({text, kSize - 1}) != sizeof...(Args)) throw "one {} for each argument";  // ends the compilation
  }
  [[nodiscard]] constexpr fmt::string_view get() const { return text_; }

 private:
  fmt::format_string<const Args&...> text_;
};
template <typename... Args>
using FormatString = CheckedFormat<std::type_identity_t<Args>...>;

/// Called by format(): the one place where fmt itself is compiled. Exported for the CUDA plugin and the command.
[[nodiscard]] LAMELLA_API std::string vformat(fmt::string_view text, fmt::format_args args);

/// format("got {}, allowed {}", 3, "0..2") is "got 3, allowed 0..2". Floating-point numbers need a format: "{:g}".
template <typename... Args>
[[nodiscard]] std::string format(FormatString<Args...> text, const Args&... args) {
  return core::vformat(text.get(), fmt::make_format_args(args...));
}

}  // namespace lamella::core
