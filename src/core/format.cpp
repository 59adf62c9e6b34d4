// SPDX-License-Identifier: Apache-2.0
// The build defines FMT_HEADER_ONLY for this file alone: fmt becomes part of it, and no library that programs must have.
#include <fmt/format.h>

#include "core/format.hpp"

namespace lamella::core {

std::string vformat(fmt::string_view text, fmt::format_args args) { return fmt::vformat(text, args); }

}  // namespace lamella::core
