// SPDX-License-Identifier: Apache-2.0
// What both layouts of weights share: from a dataset to a layer's weight.
#pragma once

#include <memory>
#include <string>

#include "keras/hdf5/hdf5.hpp"
#include "keras/tree.hpp"

namespace lamella::keras {

/// A view of the dataset's bytes, which it keeps alive.
[[nodiscard]] Tensor tensor_of(H5Dataset dataset);

/// Gives `layer` its weight `name`; "count" is looked at by nobody. Throws LoadError when dtype or shape cannot be right.
void store(LayerTree& layer, const std::string& name, H5Dataset dataset, const std::string& where);

/// A layer as activation of a Dense whose weight Keras 3 did not store; see the definition.
void replace_unsaved_prelu(LayerTree& layer);

}  // namespace lamella::keras
