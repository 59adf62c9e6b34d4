// SPDX-License-Identifier: Apache-2.0
// Operations between layers of any version of Keras, in the form of Keras 3.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/owned_json.hpp"
#include "keras/calls.hpp"

namespace lamella::keras {

/// One call of an operation, built as text, because destroying copies of JSON values would allocate.
class OperationCall {
 public:
  /// `operation` is Keras 3's class: "Multiply". `operands`, a list, are in Keras 3's order; tensors are {"class_name":
  /// "__keras_tensor__", ...}. `parameters`, a dict, holds everything else, by Keras 3's names.
  OperationCall(std::string operation, const std::string& operands, const std::string& parameters, const Where& where);
  [[nodiscard]] const std::string& operation() const noexcept { return operation_; }
  [[nodiscard]] const Json& operands() const { return (*value_)[0]; }
  [[nodiscard]] const Json& parameters() const { return (*value_)[1]; }
  [[nodiscard]] Json& parameters() { return (*value_)[1]; }

 private:
  std::string operation_;
  core::OwnedJson<Json> value_;
};

/// The text that parse_json() reads as this value.
[[nodiscard]] std::string text_of(const Json& value);
/// Joins texts to a list: [a, b].
[[nodiscard]] std::string list_text(const std::vector<std::string>& texts);
/// Joins keys and the texts of their values to a dict.
[[nodiscard]] std::string dict_text(const std::vector<std::pair<std::string, std::string>>& entries);

/// The calls of an entry of `layers`. Throws LoadError (unsupported) for unknown TensorFlow functions.
[[nodiscard]] std::vector<OperationCall> keras3_calls(const Json& object, const std::string& path, const Reading& reading);
[[nodiscard]] std::vector<OperationCall> keras2_calls(const Json& object, const std::string& path, const Reading& reading);

[[nodiscard]] bool is_tensor(const Json& value);
/// A list, or a tuple as Keras 3 may write it.
[[nodiscard]] const Json* list_of(const Json& value);

/// A call as passed to a parser.
class OperationFields : public Fields {
 public:
  OperationFields(const OperationCall& call, const Reading& reading, const std::string& path)
      : Fields(call.parameters(), reading, path), call_(call) {}

  [[nodiscard]] const std::string& operation() const { return call_.operation(); }
  [[nodiscard]] const Json& operand(std::size_t i) const { return call_.operands().at(i); }
  [[nodiscard]] std::size_t operands() const { return call_.operands().size(); }
  /// Refuses any operands but `count` tensors.
  void expect_tensors(std::size_t count) const;
  /// Refuses any operands but one list of tensors.
  void expect_list() const;
  template <typename... Args>
  [[noreturn]] void fail(ErrorCode code, core::FormatString<Args...> message, const Args&... args) const {
    reading().where.layer(layer()).fail(code, "operation {} {}", core::escaped(operation()), core::format(message, args...));
  }

 private:
  const OperationCall& call_;
};

[[nodiscard]] bool is_known_operation(const std::string& class_name);
/// The parameters of the operation. Throws LoadError (unsupported) if it is unknown.
[[nodiscard]] core::LayerParams operation_params(const OperationFields& f);

[[nodiscard]] core::LayerParams parse_arithmetic(core::CombineKind kind, const OperationFields& f);
[[nodiscard]] core::LayerParams parse_clip(const OperationFields& f);
[[nodiscard]] core::LayerParams parse_slice(const OperationFields& f);

}  // namespace lamella::keras
