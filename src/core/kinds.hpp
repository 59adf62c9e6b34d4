// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The kinds of an operation, the same in specs, descs and kernels.
namespace lamella::core {

/// How several values become one, element by element.
enum class CombineKind {
  add,
  subtract,
  multiply,
  average,
  maximum,
  minimum,
  divide,
  power,
  where,  ///< a where b is not 0, elsewhere 0
};
/// Whether this kind is also computed on integers.
[[nodiscard]] constexpr bool of_integers(CombineKind kind) noexcept {
  return kind != CombineKind::average && kind != CombineKind::divide && kind != CombineKind::power;
}

enum class ReduceKind { sum, mean, product, maximum, minimum };

enum class NormalizationKind {
  standard,     ///< (x - mean) / sqrt(variance + epsilon), population variance
  deviation,    ///< x / sqrt(variance + epsilon): what LayerNormalization's rms_scaling does
  mean_square,  ///< x / sqrt(mean(x^2) + epsilon)
  unit,         ///< x * min(1 / sqrt(sum(x^2)), 1 / epsilon)
};

}  // namespace lamella::core
