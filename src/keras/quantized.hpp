// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keras/reading.hpp"
#include "keras/stored.hpp"

/// Traces of Model.quantize() in a file: dtype policies with a mode, `quantization_config`, integer weights.
namespace lamella::keras {

/// The quantization in a Dense's dtype policy and `quantization_config`; nothing if it is not quantized. Throws LoadError for
/// unknown modes and settings.
[[nodiscard]] std::optional<core::Quantization> read_quantization(const Fields& fields, const Reading& reading);

/// The weights of a Dense in the order in which a .keras file stores them.
[[nodiscard]] std::vector<StoredWeight> dense_weights(const core::DenseParams& params);

/// The shape and dtypes that the layer's config implies for a weight of a Dense. -1: an extent that depends on the input; no
/// types: any floating type.
struct ExpectedWeight {
  std::vector<std::int64_t> shape;
  std::vector<DType> types;
};
[[nodiscard]] ExpectedWeight expected_of(const core::DenseParams& params, std::string_view weight);

/// Keras 3.14 to 3.15 does not store the zero points of gptq and awq in a .keras file, and cannot read it back. Symmetric gptq
/// does not need them: if a file has `found` weights, one too few, removes `kernel_zero` from the `wanted` ones. Throws LoadError
/// (unsupported) for the others.
void forget_lost_zeros(const core::LayerSpec& layer, std::vector<StoredWeight>& wanted, std::size_t found, const Where& where);

}  // namespace lamella::keras
