// SPDX-License-Identifier: Apache-2.0
// The build defines FMT_HEADER_ONLY for this file alone: fmt is compiled into it, so programs need no libfmt.
#include <fmt/format.h>

#include "core/format.hpp"

namespace lamella::core {

std::string vformat(fmt::string_view text, fmt::format_args args) { return fmt::vformat(text, args); }

}  // namespace lamella::core
