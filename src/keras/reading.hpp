// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/options.hpp>

#include "core/spec.hpp"
#include "keras/bytes.hpp"
#include "keras/where.hpp"

/// Converts configs to specs, which have no weights yet except those in the config.
namespace lamella::keras {

using Json = nlohmann::json;

inline constexpr std::size_t kLongestPath = 1024;   ///< limit for a layer's path, which each layer stores
inline constexpr std::size_t kMostLayers = 65'536;  ///< of a model
inline constexpr std::int64_t kMostCalls = 65'536;  ///< limit for layer calls in a model

/// State shared by all reading of configs.
struct Reading {
  Where where;                ///< of the config
  std::string keras_version;  ///< version of Keras that wrote it; empty if unknown
  bool keras2 = false;        ///< Keras 1 or 2 wrote it
  bool keras2_hard_sigmoid = false;
  bool has_assets = false;                                                ///< files may accompany the config: vocabularies
  std::map<std::int64_t, std::shared_ptr<const core::LayerSpec>> shared;  ///< layers by shared_object_id
  std::map<const core::ModelSpec*, std::int64_t> calls;  ///< of layer calls in each model, counting nested models once per call
  int depth = 0;
  int inside = 0;                ///< depth of nested layers, as activations or wrapped
  std::size_t config_bytes = 0;  ///< bytes of config text stored so far
  /// Layers that cannot be read: reading continues, so that all can be named.
  struct Refusal {
    ErrorCode code;
    std::string what;
  };
  std::vector<Refusal> refused;
  bool unknown_class = false;  ///< at least one has an unsupported class
};

/// The fields of one layer's config. Every failure names file, layer, field, what was found and what is allowed.
class Fields {
 public:
  Fields(const Json& config, const Reading& reading, std::string layer);

  [[nodiscard]] bool has(const char* key) const { return config_.contains(key) && !config_.at(key).is_null(); }
  [[nodiscard]] const Json& at(const char* key) const;
  [[nodiscard]] std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const;
  [[nodiscard]] double number(const char* key, double fallback) const;
  [[nodiscard]] bool boolean(const char* key, bool fallback) const;
  [[nodiscard]] std::string string(const char* key, const std::string& fallback) const;
  /// An integer or a list of integers.
  [[nodiscard]] std::vector<int> axes(const char* key, std::vector<int> fallback) const;
  /// A number, nested lists of numbers, or a serialized numpy array: in float64, of its own shape.
  [[nodiscard]] Tensor array(const char* key) const;
  [[nodiscard]] const std::string& layer() const { return layer_; }
  [[nodiscard]] const Reading& reading() const { return reading_; }
  /// Fails with what was found and what is allowed.
  template <typename... Args>
  [[noreturn]] void fail_field(ErrorCode code, std::string_view key, core::FormatString<Args...> message,
                               const Args&... args) const {
    reading_.where.layer(layer_).field(key).fail(code, message, args...);
  }
  /// Refuses keys that are not read, except those that any layer, or this class, may have without effect at inference.
  void expect_only(std::span<const std::string_view> read, std::span<const std::string_view> without_effect = {}) const;
  void expect_only(std::initializer_list<std::string_view> read, std::span<const std::string_view> without_effect = {}) const {
    expect_only(std::span<const std::string_view>(read.begin(), read.size()), without_effect);
  }

 private:
  const Json& config_;
  const Reading& reading_;
  std::string layer_;
};

/// Whether the version of Keras that wrote the file is older than the given one; a file without a version counts as new.
[[nodiscard]] bool older_than(const Reading& reading, int major, int minor);

/// The `tensor`-th result of the `node`-th call of a layer, by name.
struct Ref {
  std::string layer;
  std::int64_t node = 0;
  std::int64_t tensor = 0;
};

/// An entry of a Functional's `layers` that is an operation between layers: of keras.ops, keras.activations or TensorFlow.
struct Operation {
  std::shared_ptr<const core::LayerSpec> layer;
  std::vector<std::vector<Ref>> inputs;  ///< of each call: its tensors, in order
};
[[nodiscard]] bool is_operation(const Json& object);
[[nodiscard]] Operation read_operation(const Json& object, const std::string& path, const Reading& reading);

/// Refuses classes that are not Keras' own.
void expect_builtin(const Json& object, const std::string& class_name, const std::string& layer, const Reading& reading);

/// One serialized layer object (class_name, config, module) that is not a model.
[[nodiscard]] std::shared_ptr<const core::LayerSpec> read_layer(const Json& object, const std::string& path, Reading& reading);
/// "Activation, Add, ..."
[[nodiscard]] std::string supported_classes();
/// A serialized layer or model as one entry of `layers`; a shared object is returned again.
[[nodiscard]] std::shared_ptr<const core::LayerSpec> read_any(const Json& object, const std::string& path, Reading& reading);
/// The config of a Functional.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> read_functional(const Json& config, const std::string& name,
                                                                     const std::string& path, Reading& reading);
/// A serialized Sequential or Functional object.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> read_model(const Json& object, const std::string& path, Reading& reading);
/// Adds the input shape to a Sequential whose file lacks it: the one that its weights imply, rows for its first Dense, or
/// `sample`, -1 for None, after the batch. Returns any other model unchanged.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_input_shape(
    std::shared_ptr<const core::ModelSpec> model, const Reading& reading,
    const std::optional<std::vector<std::int64_t>>& sample = {});
/// Sets the table of an IntegerLookup from its vocabulary, which may begin with the special tokens. `fail` throws.
using FailVocabulary = std::function<void(ErrorCode, const std::string&)>;
void set_vocabulary(core::IntegerLookupParams& params, std::span<const std::int64_t> vocabulary, const FailVocabulary& fail);
/// A file with an integer on each line.
[[nodiscard]] std::vector<std::int64_t> read_vocabulary(Bytes text, const FailVocabulary& fail);
[[nodiscard]] bool is_model(const Json& object);
[[nodiscard]] bool is_layer_class(const std::string& class_name);
[[nodiscard]] core::Policy read_policy(const Json* dtype, const Fields& fields);
/// [null, 4] as extents; null if there is no shape.
[[nodiscard]] std::vector<core::Extent> read_shape(const Json& shape, const Fields& fields, const char* key);

}  // namespace lamella::keras
