// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include <lamella/export.hpp>
#include <lamella/model.hpp>
#include <lamella/tensor.hpp>

namespace lamella {

/// Reads weights for `model` from a NumPy archive (.npz) or a .safetensors file; its content decides, not its name. Gives what
/// Model::update_weights() takes:
///
///     const auto weights = load_weights(model, "policy.safetensors");
///     model.update_weights({weights.begin(), weights.end()});
///
/// The keys are those of the file, "outer/dense/kernel", and the arrays have its shapes and dtypes, on the host. A file may hold
/// some of the weights only; whether they fit is checked when they are used. Model::with_weights(path) reads such files too.
///
/// If no key has a slash and one is "weight" or "bias", or ends so after a dot ("fc1.weight"), the file is that of a torch module
/// of Linear layers, whose weights go to the model's Dense layers: by name where all of these agree ("net.0.bias", "net/0/bias"),
/// else in the order of the numbers in their names. The kernels are transposed, the keys are the model's, and all must be there.
///
/// Throws LoadError for a file that cannot be read, is damaged, or has an element type that lamella lacks; for torch's keys also:
/// value (the numbers of layers differ, or the order is unknown), missing, shape, unsupported (of other layers).
[[nodiscard]] LAMELLA_API std::map<std::string, Tensor> load_weights(const Model& model, const std::string& path);
/// The same from the bytes of such a file; messages begin with `where`.
[[nodiscard]] LAMELLA_API std::map<std::string, Tensor> parse_weights(const Model& model, std::span<const std::byte> file,
                                                                      const std::string& where);

}  // namespace lamella
