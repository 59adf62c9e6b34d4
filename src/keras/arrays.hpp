// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include <lamella/model.hpp>
#include <lamella/tensor.hpp>

#include "keras/bytes.hpp"
#include "keras/where.hpp"

/// Arrays by name, as other programs than Keras store weights.
namespace lamella::keras {

using Arrays = std::map<std::string, Tensor>;

/// Whether a file of `size` bytes that begins with `head` is a NumPy archive, and whether it is a .safetensors file.
[[nodiscard]] bool looks_like_npz(Bytes head) noexcept;
[[nodiscard]] bool looks_like_safetensors(Bytes head, std::uint64_t size) noexcept;

/// Their arrays, copied. Read strictly: what two readers could interpret differently is refused. Throws LoadError.
[[nodiscard]] Arrays npz_arrays(const OwnedBytes& file, const Where& where);
[[nodiscard]] Arrays safetensors_arrays(Bytes file, const Where& where);

/// `arrays` by the names of weights of a model with these layers: as they are, or if they are named as those of a torch module's
/// Linear layers, those of the Dense layers, with transposed kernels. Throws LoadError.
[[nodiscard]] Arrays arrays_for(Arrays arrays, std::span<const LayerInfo> layers, const Where& where);

}  // namespace lamella::keras
