// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/format.hpp"

namespace lamella::core {

/// "1 row", "7 rows".
[[nodiscard]] inline std::string counted(std::int64_t count, std::string_view what) {
  return format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace lamella::core
