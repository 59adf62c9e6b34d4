// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keras/reading.hpp"

/// How a Functional's layers are called: the `inbound_nodes` of a config.
namespace lamella::keras {

struct Call {
  std::vector<Ref> inputs;      ///< in the order in which the layer, or the model, takes them
  std::vector<int> masks = {};  ///< as in core::NodeSpec, and so is the next
  bool says_masks = false;
};

struct CallsRead {
  std::vector<Call> calls;
  bool keras2 = false;  ///< written as Keras 2 writes calls
};

/// The calls of one entry of `layers`, called `name`; `callee` is set where that is a model.
[[nodiscard]] CallsRead read_calls(const Json& object, const std::string& name, const core::ModelSpec* callee,
                                   const Reading& reading);

/// Whether `item` looks like [name, node, tensor].
[[nodiscard]] bool is_ref(const Json& item);
/// [name, node, tensor]; `name` is of what refers to it, for messages.
[[nodiscard]] Ref ref_of(const Json& item, const std::string& name, const Reading& reading);

}  // namespace lamella::keras
