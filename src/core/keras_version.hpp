// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <string_view>

namespace lamella::core {

/// Whether this version of Keras, such as "3.15.1", is older than the given one. Text that is not a version counts as new.
[[nodiscard]] inline bool older_than(std::string_view text, int major, int minor) {
  int found_major = 0;
  int found_minor = 0;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, found_major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') return false;
  if (std::from_chars(first.ptr + 1, end, found_minor).ec != std::errc()) return false;
  return found_major < major || (found_major == major && found_minor < minor);
}

}  // namespace lamella::core
