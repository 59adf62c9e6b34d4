// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <lamella/tensor.hpp>

#include "core/npy_head.hpp"

namespace lamella::core {

/// What stands before the elements in an npy file of this tensor, which is not bfloat16.
[[nodiscard]] inline std::string npy_header(const TensorView& tensor) { return npy_header(tensor.dtype(), tensor.shape()); }

}  // namespace lamella::core
