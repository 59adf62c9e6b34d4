// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/bench/cell.hpp"
#include "cli/bench/measure.hpp"

namespace lamella::bench {

/// Throughput of a model that several threads call at once, each with one thread of the model's.
struct Throughput {
  Cell cell;
  Device device = Device::cpu();
  int callers = 1;
  double rows_per_s = 0;
  Percentiles latency = {};  ///< per call, from host memory to host memory
  double others = 0;         ///< share of the processors that other programs had meanwhile
};

/// Calls a file's model from `callers` threads for the given time. Throws WrongResult if a result differs from the first.
[[nodiscard]] Throughput measure_throughput(const Cell& cell, Device device, int callers, double seconds);

}  // namespace lamella::bench
