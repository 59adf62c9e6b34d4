// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <lamella/dtype.hpp>

namespace lamella::core {

/// keras.backend.result_type() of at least one dtype: what Keras computes in when values of these meet. As on TensorFlow, which
/// keeps int64 and float64; JAX, by default, makes them int32 and float32. uint64 becomes uint32 on both.
[[nodiscard]] DType result_type(std::span<const DType> dtypes);
[[nodiscard]] inline DType result_type(DType a, DType b) {
  const DType both[] = {a, b};
  return result_type(both);
}

}  // namespace lamella::core
