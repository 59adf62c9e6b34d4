// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <vector>

#include "cli/bench/cell.hpp"

namespace lamella::bench {

/// The axes of a run; an empty one has the default of the level. What was given by hand crosses with everything else.
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

/// Every cell, small ones first within a level. Files alone mean the level "model" with these files and nothing else.
[[nodiscard]] std::vector<Cell> cells_of(const Axes& axes);

/// The Dense engines of the CUDA device, for the rows that say why it was not measured; the device itself is asked where there is
/// one.
inline constexpr std::array<const char*, 7> kCudaDenseEngines{
    "small_batch", "cublaslt_epilogue", "mma_gemm", "gemm_then_epilogue", "gemm_bias_activation", "gemm_bias_cudnn", "tiled"};

/// The ways a cell is computed on a device: what the library chooses, the same without fusion, and for a Dense layer each engine
/// by name. `engines` and `fusions` filter when not empty; the unfused way stays, because speedups count from it.
[[nodiscard]] std::vector<Way> ways_of(const Cell& cell, Device device, const std::vector<std::string>& device_engines,
                                       const std::vector<std::string>& engines, const std::vector<Fusion>& fusions);

/// The ways of a CUDA device that is not there: one for each engine, because it cannot say how it would fuse.
[[nodiscard]] std::vector<Way> ways_of_absent(const Cell& cell, Device device, const std::vector<std::string>& engines,
                                              const std::vector<Fusion>& fusions);

}  // namespace lamella::bench
