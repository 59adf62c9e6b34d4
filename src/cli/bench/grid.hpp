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

/// The Dense engines of the CUDA device, for the rows that say why it was not measured.
inline constexpr std::array kCudaDenseEngines{
#define LAMELLA_CUDA_DENSE(engine) #engine,
#include "cuda/dense/engines.def"
};

/// The ways to compute a cell on a device: the library's choice, the same without fusion, and for a Dense layer each engine by
/// name. `engines` and `fusions` filter if not empty; the unfused baseline stays, because speedups are relative to it.
[[nodiscard]] std::vector<Way> ways_of(const Cell& cell, Device device, const std::vector<std::string>& device_engines,
                                       const std::vector<std::string>& engines, const std::vector<Fusion>& fusions);

/// The ways for an absent CUDA device: one per engine, because it cannot report how it would fuse.
[[nodiscard]] std::vector<Way> ways_of_absent(const Cell& cell, Device device, const std::vector<std::string>& engines,
                                              const std::vector<Fusion>& fusions);

}  // namespace lamella::bench
