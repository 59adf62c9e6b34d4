// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <vector>

#include "cli/bench/cell.hpp"

namespace lamella::bench {

/// The axes of a run; an empty one has the level's default. Axes given by the user are crossed with all others.
struct Axes {
  std::vector<std::string> files = {};
  std::vector<Level> levels = {};
  std::vector<std::int64_t> batches = {};
  std::vector<std::int64_t> widths = {};
  std::vector<std::int64_t> depths = {};
  std::vector<DType> dtypes = {};
  std::vector<std::string> activations = {};
  bool full = false;
};

/// Every cell, small ones first within a level. Files without a level mean the level "model" with only these files.
[[nodiscard]] std::vector<Cell> cells_of(const Axes& axes);

/// The Dense engines of the CUDA device, for the rows that say why it was not measured; if there is a device, it lists its
/// own.
inline constexpr std::array<const char*, 7> kCudaDenseEngines{
    "small_batch", "cublaslt_epilogue", "mma_gemm", "gemm_then_epilogue", "gemm_bias_activation", "gemm_bias_cudnn", "tiled"};

/// The ways to compute a cell on a device: the library's choice, the same without fusion, and for a Dense layer each engine by
/// name. `engines` and `fusions` filter if not empty; the unfused baseline stays, because speedups are relative to it.
[[nodiscard]] std::vector<Way> ways_of(const Cell& cell, Device device, const std::vector<std::string>& device_engines,
                                       const std::vector<std::string>& engines, const std::vector<Fusion>& fusions);

/// The ways for an absent CUDA device: one per engine, because it cannot report how it would fuse.
[[nodiscard]] std::vector<Way> ways_of_absent(const Cell& cell, Device device, const std::vector<std::string>& engines,
                                              const std::vector<Fusion>& fusions);

}  // namespace lamella::bench
