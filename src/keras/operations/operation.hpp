// SPDX-License-Identifier: Apache-2.0
// Operations between layers, whichever Keras wrote them: as Keras 3 has them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "keras/tree.hpp"

namespace lamella::keras {

/// One call of an operation.
struct OperationCall {
  std::string operation;             ///< Keras 3's class: "Multiply"
  Json operands = Json::array();     ///< in Keras 3's order; tensors are {"class_name": "__keras_tensor__", ...}
  Json parameters = Json::object();  ///< what is no operand, by Keras 3's names
};

/// The calls of an entry of `layers`. Throws LoadError (unsupported) for functions of TensorFlow that are not known.
[[nodiscard]] std::vector<OperationCall> keras3_calls(const Json& object, const std::string& path, const Reading& reading);
[[nodiscard]] std::vector<OperationCall> keras2_calls(const Json& object, const std::string& path, const Reading& reading);

[[nodiscard]] bool is_tensor(const Json& value);
/// A list, or a tuple as Keras 3 may write it.
[[nodiscard]] const Json* list_of(const Json& value);

/// What a parser sees of a call.
class OperationFields : public Fields {
 public:
  OperationFields(const OperationCall& call, const Reading& reading, const std::string& path)
      : Fields(call.parameters, reading, path), call_(call) {}

  [[nodiscard]] const std::string& operation() const { return call_.operation; }
  [[nodiscard]] const Json& operand(std::size_t i) const { return call_.operands.at(i); }
  [[nodiscard]] std::size_t operands() const { return call_.operands.size(); }
  /// Refuses any operands but `count` tensors.
  void expect_tensors(std::size_t count) const;
  /// Refuses any operands but one list of tensors.
  void expect_list() const;
  [[noreturn]] void fail(ErrorCode code, const std::string& message) const;

 private:
  const OperationCall& call_;
};

[[nodiscard]] bool is_known_operation(const std::string& class_name);
/// What the operation computes. Throws LoadError (unsupported) for one that is not known.
[[nodiscard]] core::LayerParams operation_params(const OperationFields& f);

[[nodiscard]] core::LayerParams parse_arithmetic(core::MergeKind kind, const OperationFields& f);
[[nodiscard]] core::LayerParams parse_clip(const OperationFields& f);
[[nodiscard]] core::LayerParams parse_slice(const OperationFields& f);

}  // namespace lamella::keras
