// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "ops/engine.hpp"

namespace lamella::cpu {

/// The operations of the CPU.
[[nodiscard]] std::unique_ptr<ops::OpSet> make_ops();

}  // namespace lamella::cpu
