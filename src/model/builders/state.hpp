// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lamella/models.hpp>

#include "core/access.hpp"
#include "core/check.hpp"
#include "core/float_environment.hpp"
#include "core/spec.hpp"

/// What the handles of lamella/layers.hpp and lamella/models.hpp point to. A layer is its Keras config, which only src/keras
/// interprets, as it does a file's.
namespace lamella::model {

using core::Access;

using Config = nlohmann::ordered_json;  ///< in Keras' order of keys

struct Layout;

/// State that only models have.
struct NetworkState {
  std::vector<std::shared_ptr<LayerState>> stack;  ///< of a Sequential, without its InputLayer
  std::optional<KerasTensor> input;                ///< of a Sequential, if it has one
  std::shared_ptr<const Layout> layout;            ///< null before build
  std::uint64_t seed = 0;
};

struct LayerState {
  LayerState();
  std::uint64_t serial;  ///< order of creation in this process; a model numbers its layers in that order, as Keras does
  std::string class_name;
  std::string name;                                    ///< the given one, or empty
  Config arguments;                                    ///< the config without the name
  std::shared_ptr<const core::LayerSpec> prototype;    ///< the config as parsed by src/keras; null for models
  std::map<std::string, Initializer> initializers;     ///< of the weights, by name
  std::vector<std::shared_ptr<const Tensor>> weights;  ///< parallel to keras::stored_weights(*prototype); empty before build
  std::shared_ptr<LayerState> inner;                   ///< corresponds to core::layer_inside(*prototype)
  std::unique_ptr<NetworkState> network;               ///< null for plain layers
  int calls = 0;                                       ///< calls made by users; a Sequential with any is fixed
};

/// One call of a layer.
struct CallState {
  std::shared_ptr<LayerState> layer;
  OneOrMany<KerasTensor> inputs;  ///< none for an InputLayer
  int number = 0;                 ///< index among the calls of its layer
  int depth = 0;                  ///< number of calls before it, along the longest path
};

/// A value as inferred.
struct ValueInfo {
  std::vector<std::int64_t> sample;  ///< -1 where Keras has None
  std::string dtype;                 ///< Keras' name
};

/// A built model: its layers in the order in which Keras lists them.
struct Layout {
  struct Entry {
    std::shared_ptr<LayerState> layer;
    std::string name;  ///< in this model
    std::vector<const CallState*> calls;
  };
  std::vector<Entry> layers;
  std::vector<const CallState*> calls;  ///< each call comes after its inputs
  std::map<const CallState*, std::vector<ValueInfo>> values;
  OneOrMany<KerasTensor> inputs;
  OneOrMany<KerasTensor> outputs;
};

/// A plain layer. Throws ArgumentError for what src/keras refuses.
[[nodiscard]] std::shared_ptr<LayerState> make_layer(std::string class_name, const std::string& name, Config arguments,
                                                     std::map<std::string, Initializer> initializers = {},
                                                     std::shared_ptr<LayerState> inner = nullptr);
/// "p_re_lu" for "PReLU".
[[nodiscard]] std::string default_name(std::string_view class_name);
/// The names of layers in one model: given names, and numbered defaults. Throws ArgumentError (value) for a name given twice.
[[nodiscard]] std::vector<std::string> unique_names(const std::vector<std::shared_ptr<LayerState>>& layers);
[[nodiscard]] std::string shown_name(const LayerState& layer);

/// The name of a dtype policy as Keras serializes it.
[[nodiscard]] Config policy_config(const std::string& name);
/// A layer's config, a model's too.
[[nodiscard]] Config config_of(const LayerState& layer, const std::string& name);
/// {"module", "class_name", "config", "registered_name"}.
[[nodiscard]] Config object_of(const LayerState& layer, const std::string& name);
/// A built model's config, read by src/keras and filled with the weights.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> spec_of(const LayerState& network,
                                                             HardSigmoid hard_sigmoid = HardSigmoid::as_written);
/// A built layer as it appears in a ModelSpec.
[[nodiscard]] std::shared_ptr<const core::LayerSpec> layer_spec_of(const LayerState& layer, const std::string& name);

/// Calls a layer of any kind; `number` identifies the call.
[[nodiscard]] std::shared_ptr<const CallState> call_of(const std::shared_ptr<LayerState>& layer,
                                                       const OneOrMany<KerasTensor>& inputs, int number = 0);
[[nodiscard]] bool is_input(const LayerState& layer);
[[nodiscard]] std::size_t output_count(const LayerState& layer);
[[nodiscard]] bool is_built(const LayerState& layer);
/// The value of an InputLayer.
[[nodiscard]] ValueInfo input_value(const LayerState& input);

/// The graph between inputs and outputs in Keras' order. Throws ArgumentError.
[[nodiscard]] Layout layout_of(const OneOrMany<KerasTensor>& inputs, const OneOrMany<KerasTensor>& outputs);

/// Draws weights and lays out models. Undoes what it built, in every layer, unless committed.
class Building {
 public:
  explicit Building(std::uint64_t seed) : seed_(seed) {}
  ~Building();
  Building(const Building&) = delete;
  Building& operator=(const Building&) = delete;

  /// Builds a layer of any kind, unless it is built.
  void layer(LayerState& layer, const std::string& name, const std::vector<ValueInfo>& inputs);
  void network(LayerState& network, const OneOrMany<KerasTensor>& inputs, const OneOrMany<KerasTensor>& outputs);
  void sequential(LayerState& network, const KerasTensor& input);
  void commit() noexcept { built_.clear(); }

 private:
  core::FloatEnvironment environment_;  ///< drawn values do not depend on the caller's
  std::uint64_t seed_;
  std::uint32_t drawn_ = 0;
  std::vector<LayerState*> built_;
};

}  // namespace lamella::model
