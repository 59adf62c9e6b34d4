// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <lamella/tensor.hpp>

namespace lamella::core {

/// What stands before the elements in an npy file of this tensor, which is not bfloat16.
[[nodiscard]] std::string npy_header(const TensorView& tensor);

}  // namespace lamella::core
