// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/bench/cell.hpp"
#include "cli/bench/measure.hpp"

namespace lamella::bench {

/// What a model answers when several threads call it at once, one of its own threads for each.
struct Throughput {
  Cell cell;
  Device device = Device::cpu();
  int callers = 1;
  double rows_per_s = 0;
  Percentiles latency = {};  ///< of one call, from host memory to host memory
  double others = 0;         ///< share of the processors that other programs had meanwhile
};

/// Calls a file's model from `callers` threads for so long. Throws WrongResult when an answer differs from the first.
[[nodiscard]] Throughput measure_throughput(const Cell& cell, Device device, int callers, double seconds);

}  // namespace lamella::bench
