// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/quantized_layout.hpp"
#include "tests/kernels/kernel_support.hpp"

/// Shared by the tests of quantized layers.
namespace lamella::test {

inline std::size_t at(std::int64_t row, std::int64_t width, std::int64_t column) {
  return static_cast<std::size_t>(row * width + column);
}

/// Random integers of that format.
inline std::vector<int> random_integers(std::int64_t count, bool int4, unsigned seed) {
  std::mt19937 generator(seed);
  const int half = int4 ? 8 : 128;
  std::vector<int> q(static_cast<std::size_t>(count));
  for (int& value : q) value = std::uniform_int_distribution(-half, half - 1)(generator);
  return q;
}

/// Integers q[inputs, units] as bytes in the order of the layout.
inline std::vector<double> bytes_of(const kernels::QuantizedLayout& layout, const std::vector<int>& q) {
  std::vector<double> bytes(static_cast<std::size_t>(layout.bytes()), layout.int4 ? kernels::QuantizedLayout::kZeros : 0);
  for (std::int64_t i = 0; i < layout.inputs; ++i) {
    for (std::int64_t u = 0; u < layout.units; ++u) {
      double& byte = bytes.at(static_cast<std::size_t>(layout.at(i, u)));
      const int value = q[at(i, layout.units, u)];
      byte = layout.int4 ? byte + (layout.is_upper(i) ? 16 : 1) * value : value & 255;
    }
  }
  return bytes;
}

}  // namespace lamella::test
