// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keras/reading.hpp"
#include "keras/stored.hpp"

/// What Model.quantize() leaves in a file: dtype policies with a mode, `quantization_config`, weights that are integers.
namespace lamella::keras {

/// What a Dense's dtype policy and `quantization_config` say; nothing when it is not quantized. Throws LoadError for modes and
/// settings that lamella does not know.
[[nodiscard]] std::optional<core::Quantization> read_quantization(const Fields& fields, const Reading& reading);

/// The weights of a Dense in the order in which a .keras file stores them.
[[nodiscard]] std::vector<StoredWeight> dense_weights(const core::DenseParams& params);

/// What the layer's config says about a weight of a Dense in a file. -1: an extent that depends on the input; no types: any
/// floating type.
struct ExpectedWeight {
  std::vector<std::int64_t> shape;
  std::vector<DType> types;
};
[[nodiscard]] ExpectedWeight expected_of(const core::DenseParams& params, std::string_view weight);

/// Keras 3.14 to 3.15 does not store the zero points of gptq and awq in a .keras file, and cannot read it back. Symmetric gptq
/// does without them: where a file has `found` weights, one too few, `kernel_zero` is taken from the `wanted` ones. Throws
/// LoadError (unsupported) for the others.
void forget_lost_zeros(const core::LayerSpec& layer, std::vector<StoredWeight>& wanted, std::size_t found, const Where& where);

}  // namespace lamella::keras
