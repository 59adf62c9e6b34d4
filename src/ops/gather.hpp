// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/convert.hpp"

namespace lamella::ops {

/// The row of a table of `rows` rows denoted by a number: floating numbers are cast to int32 as in Keras, negative ones count
/// from the end. -1 if there is no such row.
template <typename I>
LAMELLA_HD std::int64_t row_of(I number, std::int64_t rows) {
  using Index = std::conditional_t<std::is_floating_point_v<I>, std::int32_t, std::int64_t>;
  const auto index = static_cast<std::int64_t>(core::to_integer<Index>(number));
  if (index >= 0) return index < rows ? index : -1;
  return index >= -rows ? index + rows : -1;
}

}  // namespace lamella::ops
