// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keras/reading.hpp"

/// How a Functional's layers are called: the `inbound_nodes` of a config.
namespace lamella::keras {

struct Call {
  std::vector<Ref> inputs;      ///< in the order in which the layer, or the model, takes them
  std::vector<int> masks = {};  ///< this and the next as in core::NodeSpec
  bool says_masks = false;
};

struct CallsRead {
  std::vector<Call> calls;
  bool keras2 = false;  ///< written in the format of Keras 2
};

/// The calls of one entry of `layers`, named `name`; `callee` is set if that is a model.
[[nodiscard]] CallsRead read_calls(const Json& object, const std::string& name, const core::ModelSpec* callee,
                                   const Reading& reading);

/// Whether `item` looks like [name, node, tensor].
[[nodiscard]] bool is_ref(const Json& item);
/// [name, node, tensor]; `name` is the layer that refers to it, for messages.
[[nodiscard]] Ref ref_of(const Json& item, const std::string& name, const Reading& reading);

}  // namespace lamella::keras
