// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/model.hpp>

#include "cli/bench/measure.hpp"

namespace lamella::bench {

enum class Level { activation, layer, model };
[[nodiscard]] std::string_view to_string(Level level) noexcept;
/// The inverse. Throws ArgumentError (value).
[[nodiscard]] Fusion fusion_of(const std::string& text);
[[nodiscard]] Level level_of(const std::string& text);

/// What is computed: one activation, one Dense layer, a stack of equal Dense layers, or the user's file.
struct Cell {
  Level level = Level::layer;
  std::string file = {};   ///< a Keras file; else the model is made from the fields below
  std::string sweep = {};  ///< "batch", "width" or "depth" if the cell belongs to a series of growing size
  std::int64_t batch = 1;
  std::int64_t width = 1;
  std::int64_t depth = 1;
  std::optional<DType> dtype = std::nullopt;  ///< unset: the file's
  std::string activation = {};
  friend bool operator==(const Cell&, const Cell&) = default;
};

/// One way to compute it.
struct Way {
  Device device = Device::cpu();
  std::string engine = {};  ///< empty: the library chooses
  Fusion fusion = Fusion::automatic;
  bool graphs = true;
};

/// The work of one step of a program.
struct Work {
  double bytes = 0;
  double flops = 0;
};

/// One row of the result: a cell, a way to compute it, and the outcome.
struct Row {
  Cell cell;
  Way way;
  bool cold = false;
  int threads = 0;
  std::string error = {};    ///< why there is no result; empty when there is one
  std::string warning = {};  ///< why the result should not be trusted
  std::optional<Timing> timing = std::nullopt;
  std::string engine = {};                       ///< the one that ran
  std::string fused = {};                        ///< what was fused into the product
  std::optional<double> speedup = std::nullopt;  ///< the unfused baseline's median / this one's
  std::vector<Work> steps = {};                  ///< of the program
  double bytes = 0;                              ///< that must be moved: each operand of each layer once
  double flops = 0;
  double floor_us = 0;
  std::optional<double> predicted_us = std::nullopt;  ///< by the engines that ran, before they did
  std::string bound_by = {};
  double load = 0;    ///< of the machine, over the last minute
  double others = 0;  ///< share of the processors that other programs used meanwhile
};

/// "layer/tanh/float32/batch:64/width:256/depth:1/cpu/engine:automatic/fusion:none/warm"
[[nodiscard]] std::string row_name(const Row& row);

}  // namespace lamella::bench
