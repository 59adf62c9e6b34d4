// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/access.hpp"
#include "core/check.hpp"
#include "core/spec.hpp"

/// Makes ModelSpecs by hand, for tests of the stages after the builders and the loader.
namespace lamella::test {

class SpecBuilder {
 public:
  explicit SpecBuilder(unsigned seed = 1) : random_(seed) {
    spec_->name = "model";
    spec_->class_name = "Functional";
  }

  core::ValueRef input(std::vector<core::Extent> sample, DType dtype = DType::float32) {
    sample.insert(sample.begin(), std::nullopt);
    const core::ValueRef ref = add("InputLayer", core::InputParams{std::move(sample), dtype}, {}, {});
    spec_->inputs.push_back(ref);
    return ref;
  }
  core::ValueRef dense(core::ValueRef x, std::int64_t inputs, std::int64_t units, ActivationSpec activation = {},
                       bool use_bias = true) {
    std::vector<core::Weight> weights{{"kernel", random({inputs, units})}};
    if (use_bias) weights.push_back({"bias", random({units})});
    return add("Dense", core::DenseParams{units, use_bias, activation, nullptr}, {x}, std::move(weights));
  }
  core::ValueRef activation(core::ValueRef x, ActivationSpec activation) {
    return add("Activation", core::ActivationParams{activation, {}}, {x}, {});
  }

  core::ValueRef add(std::string class_name, core::LayerParams params, std::vector<core::ValueRef> inputs,
                     std::vector<core::Weight> weights) {
    auto layer = std::make_shared<core::LayerSpec>();
    layer->path = path.empty() ? core::format("{}_{}", class_name, spec_->layers.size()) : std::exchange(path, {});
    layer->name = name.empty() ? layer->path : std::exchange(name, {});
    layer->class_name = std::move(class_name);
    layer->config_json = "{}";
    layer->policy = policy;
    layer->params = std::move(params);
    layer->weights = std::move(weights);
    spec_->layers.push_back(std::move(layer));
    return call(static_cast<int>(spec_->layers.size()) - 1, std::move(inputs));
  }
  /// Calls a layer again: a shared layer.
  core::ValueRef call(int layer, std::vector<core::ValueRef> inputs) {
    spec_->nodes.push_back({layer, std::move(inputs)});
    return {static_cast<int>(spec_->nodes.size()) - 1, 0};
  }
  std::shared_ptr<const core::ModelSpec> build(std::vector<core::ValueRef> outputs) {
    for (const core::ValueRef& input : spec_->inputs)
      spec_->input_names.push_back(
          spec_->layers[static_cast<std::size_t>(spec_->nodes[static_cast<std::size_t>(input.node)].layer)]->name);
    spec_->outputs = std::move(outputs);
    for (std::size_t i = 0; i < spec_->outputs.size(); ++i) spec_->output_names.push_back(core::format("output_{}", i));
    return spec_;
  }
  std::shared_ptr<const Tensor> random(const Shape& shape, float low = -0.5F, float high = 0.5F) {
    Tensor tensor(shape);
    std::uniform_real_distribution<float> uniform(low, high);
    for (float& v : tensor.span<float>()) v = uniform(random_);
    return std::make_shared<const Tensor>(std::move(tensor));
  }

  core::Policy policy;
  std::string name;  ///< name of the next layer; empty: its path
  std::string path;  ///< path of the next layer; empty: a unique one

 private:
  std::shared_ptr<core::ModelSpec> spec_ = std::make_shared<core::ModelSpec>();
  std::mt19937 random_;
};

/// Makes a Model from a spec.
inline Model model_of(std::shared_ptr<const core::ModelSpec> spec, const Options& options) {
  return core::Access::model(std::move(spec), options);
}

}  // namespace lamella::test
