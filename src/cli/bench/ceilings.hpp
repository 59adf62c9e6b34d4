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

/// The highest rates observed on this machine in this run.
struct Ceilings {
  struct Copy {
    double bytes = 0;
    double rate = 0;  ///< bytes per microsecond
  };
  std::vector<Copy> copies = {};          ///< by size; the last is beyond every cache
  std::map<DType, double> products = {};  ///< flops per microsecond of a large product
  double launch_us = 0;                   ///< the least time of a step on a device; 0 on the CPU
  double call_us = 0;                     ///< one call of the smallest possible model
};

/// The least time that the ceilings allow, and what determines it: "memory", "arithmetic", "launch", or "call" if that time is
/// shorter than the overhead of a call.
struct Floor {
  double us = 0;
  std::string bound_by = {};
};

/// Steps run one after another; each takes as long as the slowest of its bytes, its flops and its launch. Warm data move at the
/// rate of the smallest copy that is as large as all steps together, cold data at the rate of the largest copy.
[[nodiscard]] std::vector<Floor> floors_of(const std::vector<Work>& steps, const Ceilings& ceilings, DType dtype, bool cold);
/// The floor of a call of these steps: the sum of theirs, bound by what binds most of it.
[[nodiscard]] Floor floor_of(const std::vector<Work>& steps, const Ceilings& ceilings, DType dtype, bool cold);

/// Copies of growing size, the smallest call, and on a GPU the smallest step.
[[nodiscard]] Ceilings measure_ceilings(Clock& clock, Device device, int threads, std::size_t cache_bytes);
/// Adds products[dtype] if missing: the rate of the largest square product that takes at most about 30 ms.
void measure_product(Ceilings& ceilings, Clock& clock, Device device, int threads, DType dtype);

}  // namespace lamella::bench
