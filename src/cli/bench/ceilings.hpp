// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include <lamella/device.hpp>
#include <lamella/dtype.hpp>

#include "cli/bench/cell.hpp"
#include "cli/bench/clock.hpp"

namespace lamella::bench {

/// What the machine was seen to do at most, in this run.
struct Ceilings {
  struct Copy {
    double bytes = 0;
    double rate = 0;  ///< bytes a microsecond
  };
  std::vector<Copy> copies = {};          ///< by size; the last is beyond every cache
  std::map<DType, double> products = {};  ///< flops a microsecond of a large product
  double launch_us = 0;                   ///< what a device needs at least for a step; 0 on the CPU, which needs none
  double call_us = 0;                     ///< the smallest model there is, one call
};

/// The least time that the ceilings allow, and what sets it: "memory", "arithmetic", "launch", or "call" where that time is
/// shorter than the cost of a call.
struct Floor {
  double us = 0;
  std::string bound_by = {};
};

/// Steps run one behind the other; each lasts as long as the slowest of its bytes, its flops and its launch. Warm data move at
/// the rate of the smallest copy that is as large as all steps together, cold data at that of the largest.
[[nodiscard]] Floor floor_of(const std::vector<Work>& steps, const Ceilings& ceilings, DType dtype, bool cold);

/// Copies of growing size, the smallest call, and on a GPU the smallest step.
[[nodiscard]] Ceilings measure_ceilings(Clock& clock, Device device, int threads, std::size_t cache_bytes);
/// Adds products[dtype] when it is not there yet: the largest square product that takes no longer than some 30 ms.
void measure_product(Ceilings& ceilings, Clock& clock, Device device, int threads, DType dtype);

}  // namespace lamella::bench
