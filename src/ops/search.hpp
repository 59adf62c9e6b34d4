// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/math.hpp"

/// Lookups in sorted tables, on both devices.
namespace lamella::ops {

/// The number of entries, of `length` ascending ones, that are at most x; all of them if x is NaN.
template <typename T, typename Entry>
LAMELLA_HD std::int64_t count_up_to(T x, const Entry* entries, std::int64_t length) {
  std::int64_t low = 0;
  std::int64_t high = length;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (x < static_cast<T>(entries[middle])) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/// The remainder of a division that rounds down; `divisor` is above 0.
LAMELLA_HD std::int64_t floor_modulus(std::int64_t x, std::int64_t divisor) {
  const std::int64_t rest = x % divisor;
  return rest < 0 ? rest + divisor : rest;
}

/// See LookupDesc.
LAMELLA_HD std::int64_t found(std::int64_t x, const std::int64_t* keys, const std::int64_t* values, std::int64_t length,
                              std::int64_t otherwise, std::int64_t hashes) {
  const std::int64_t after = count_up_to(x, keys, length);
  if (after > 0 && keys[after - 1] == x) return values[after - 1];
  return hashes == 0 ? otherwise : otherwise + floor_modulus(x, hashes);
}

}  // namespace lamella::ops
