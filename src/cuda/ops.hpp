// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/backend.hpp"
#include "ops/engine.hpp"

namespace lamella::cuda {

/// All operations of the CUDA devices of `backend`, which must outlive them.
[[nodiscard]] std::unique_ptr<ops::OpSet> make_ops(core::Backend& backend);

}  // namespace lamella::cuda
