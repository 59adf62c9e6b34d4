// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <fmt/core.h>

#include <lamella/error.hpp>

namespace lamella::core {

/// fmt's format string for arguments of these types, checked when it is compiled.
template <typename... Args>
using FormatString = fmt::format_string<const Args&...>;

/// What format() calls: the one place where fmt itself is compiled. Exported for the CUDA plugin and the command.
[[nodiscard]] LAMELLA_API std::string vformat(fmt::string_view text, fmt::format_args args);

/// format("got {}, allowed {}", 3, "0..2") is "got 3, allowed 0..2". Numbers with a point need a width of their own: "{:g}".
template <typename... Args>
[[nodiscard]] std::string format(FormatString<Args...> text, const Args&... args) {
  return core::vformat(text, fmt::make_format_args(args...));
}

}  // namespace lamella::core
