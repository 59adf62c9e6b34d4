// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lamella::core {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3): a bijection of the counter.
[[nodiscard]] constexpr PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t left = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t right = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<std::uint32_t>(right >> 32U) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(right),
               static_cast<std::uint32_t>(left >> 32U) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(left)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

/// The index-th number of a seed's sequence: uniform in (0, 1), both ends excluded, 52 bits.
[[nodiscard]] constexpr double uniform(std::uint64_t seed, std::uint64_t index) noexcept {
  const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
  const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32U); };
  const PhiloxCounter drawn = philox4x32_10({low(index), high(index), 0, 0}, {low(seed), high(seed)});
  const std::uint64_t bits = (std::uint64_t{drawn[1]} << 32U | drawn[0]) >> 12U;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

/// The inverse of the standard normal distribution function, for p in (0, 1); relative error about 1e-16.
[[nodiscard]] double normal_quantile(double p) noexcept;

/// The distribution of one element.
struct Distribution {
  enum class Kind { uniform, normal, truncated_normal };
  Kind kind = Kind::uniform;
  double center = 0.0;  ///< uniform: the lower end
  double width = 1.0;   ///< uniform: upper minus lower end; normal: standard deviation before truncation at two of them
};

/// Elements first, first + 1, ... of a seed's sequence.
void draw(const Distribution& distribution, std::uint64_t seed, std::uint64_t first, std::span<double> out) noexcept;

/// A row-major rows x cols matrix with orthonormal columns (or rows, where there are more columns than rows), times `gain`:
/// Q of the QR decomposition of a normal matrix, the diagonal of R made positive, which makes Q uniform (Haar).
void draw_orthogonal(std::int64_t rows, std::int64_t cols, double gain, std::uint64_t seed, std::span<double> out);

}  // namespace lamella::core
