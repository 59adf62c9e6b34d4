// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.hpp"
#include "kernels/launch.hpp"

/// Products whose sums are divided among blocks: each block sums a slice of the inputs, and a second launch adds these sums in
/// order.
namespace lamella::kernels {

struct Slices {
  int count = 1;
  int inputs = 0;  ///< in each slice but the last, which may have fewer

  [[nodiscard]] std::size_t workspace(const Dense& args) const {
    return count == 1 ? 0 : static_cast<std::size_t>(count * args.batch * args.units) * sizeof(float);
  }
};

/// Enough slices, each a multiple of `step` inputs, to give a large GPU two blocks per multiprocessor. One slice if the second
/// launch is predicted to cost more than it gains (docs/performance.md): if the blocks already use the full bandwidth of the
/// second-level cache, or each of them reads few bytes.
inline Slices slices_of(std::int64_t inputs, std::int64_t step, std::int64_t blocks, std::int64_t bytes_of_input) {
  constexpr std::int64_t kBlocks = 256;
  constexpr std::int64_t kEnoughBlocks = 48;
  constexpr std::int64_t kWorthwhile = 256 << 10;  // bytes per block
  constexpr std::int64_t kLeast = 48 << 10;
  const std::int64_t bytes = inputs * bytes_of_input;
  if (blocks == 0 || blocks >= kEnoughBlocks || bytes < kWorthwhile) return {1, static_cast<int>(inputs)};
  const std::int64_t wanted = std::min(tiles(kBlocks, blocks), bytes / kLeast);
  const std::int64_t of_each = tiles(tiles(inputs, wanted), step) * step;
  return {static_cast<int>(tiles(inputs, of_each)), static_cast<int>(of_each)};
}

/// dst[r, u] = activation(sum of the slices' sums[s, r, u] in order + bias[u]), for sums of shape (slices, batch, units).
[[nodiscard]] cudaError_t add_slices(const Dense& args, int slices, const float* sums, cudaStream_t stream);

}  // namespace lamella::kernels
