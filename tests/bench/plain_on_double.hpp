// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/peers/cublaslt/plain.hpp"

namespace peer {

/// The formula, in float64.
[[nodiscard]] double applied(double x, Activation activation);

}  // namespace peer
