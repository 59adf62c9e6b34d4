// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <lamella/dtype.hpp>

namespace lamella::core {

/// keras.backend.result_type() of at least one dtype: the type in which Keras combines values of these. As on TensorFlow, which
/// keeps int64 and float64; JAX turns them into int32 and float32 by default. uint64 becomes uint32 on both.
[[nodiscard]] DType result_type(std::span<const DType> dtypes);
[[nodiscard]] inline DType result_type(DType a, DType b) {
  const DType both[] = {a, b};
  return result_type(both);
}

}  // namespace lamella::core
