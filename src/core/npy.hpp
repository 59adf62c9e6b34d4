// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <lamella/tensor.hpp>

#include "core/npy_head.hpp"

namespace lamella::core {

/// The header of an npy file of this tensor, which must not be bfloat16.
[[nodiscard]] inline std::string npy_header(const TensorView& tensor) { return npy_header(tensor.dtype(), tensor.shape()); }

}  // namespace lamella::core
