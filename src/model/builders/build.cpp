// SPDX-License-Identifier: Apache-2.0
// From shapes to weights: the shapes of each layer's weights, their initial values, and the shape of its output.
#include <algorithm>

#include "core/random.hpp"
#include "keras/stored.hpp"
#include "model/axes.hpp"
#include "model/builders/state.hpp"
#include "model/graph.hpp"
#include "model/open_shapes.hpp"

namespace lamella::model {
namespace {

std::int64_t known_extent(const std::string& name, const std::vector<std::int64_t>& sample, int axis) {
  const std::int64_t extent = sample[static_cast<std::size_t>(axis)];
  LAMELLA_EXPECTS(extent >= 0, shape, "layer '{}': axis {} of its input is None, its weights need a number", core::escaped(name),
                  axis + 1);
  return extent;
}

Shape alpha_shape(const LayerState& layer, const std::string& name, const std::vector<std::int64_t>& sample) {
  std::vector<std::int64_t> extents = sample;
  const Config& shared = layer.arguments.at("shared_axes");
  for (const Config& axis : shared.is_null() ? Config::array() : shared)
    extents[static_cast<std::size_t>(sample_axis(name, "shared_axes", axis.get<int>(), sample.size()))] = 1;
  for (int axis = 0; axis < static_cast<int>(extents.size()); ++axis) static_cast<void>(known_extent(name, extents, axis));
  return Shape(extents);
}

Shape normalized_shape(const core::LayerNormalizationParams& params, const std::string& name,
                       const std::vector<std::int64_t>& sample) {
  std::vector<int> axes;
  for (const int axis : params.axes) axes.push_back(sample_axis(name, "axis", axis, sample.size()));
  std::sort(axes.begin(), axes.end());
  std::vector<std::int64_t> extents;
  for (const int axis : axes) extents.push_back(known_extent(name, sample, axis));
  return Shape(extents);
}

/// The kernel's axes, or the output's axes starting with the first that has a bias, as Keras builds them.
Shape einsum_shape(const LayerState& layer, const core::EinsumDenseParams& params, const std::string& weight,
                   const std::string& name, const std::vector<std::int64_t>& sample) {
  using Ellipsis = core::EinsumDenseParams::Ellipsis;
  const std::size_t letters = params.input.size();
  LAMELLA_EXPECTS(sample.size() + 1 >= letters, shape, "layer '{}' equation: {} names more axes than its input has",
                  core::escaped(name), params.input);
  const std::size_t elided = sample.size() + 1 - letters;
  const std::size_t before = params.ellipsis == Ellipsis::left ? elided : 0;
  const Config& given = layer.arguments.at("output_shape");
  // The batch is the first axis: a letter, or one of those covered by an ellipsis on the left.
  const auto output_extent = [&](char label) -> std::int64_t {
    const std::size_t at = params.output.find(label);
    const std::size_t first = before == 0 ? 1 : 0;
    LAMELLA_EXPECTS(at >= first && at - first < given.size() && given.at(at - first).is_number(), shape,
                    "layer '{}' output_shape: has no number for axis '{}'", core::escaped(name), label);
    return given.at(at - first).get<std::int64_t>();
  };
  const auto extent_of = [&](char label) {
    const std::size_t at = params.input.find(label);
    if (at == std::string::npos) return output_extent(label);
    LAMELLA_EXPECTS(at + before >= 1, shape, "layer '{}' equation: the kernel has the batch axis", core::escaped(name));
    return known_extent(name, sample, static_cast<int>(at + before) - 1);
  };
  std::vector<std::int64_t> extents;
  if (weight == "kernel") {
    for (const char label : params.kernel) extents.push_back(extent_of(label));
    return Shape(extents);
  }
  const std::string axes = layer.arguments.at("bias_axes").get<std::string>();
  for (const char label : axes) {
    LAMELLA_EXPECTS(params.output.find(label) != std::string::npos, value, "layer '{}' bias_axes: '{}' is not in the output {}",
                    core::escaped(name), label, params.output);
  }
  for (const char label : params.output.substr(params.output.find_first_of(axes)))
    extents.push_back(axes.find(label) != std::string::npos ? extent_of(label) : 1);
  if (params.ellipsis != Ellipsis::left) extents.insert(extents.end(), elided, 1);
  return Shape(extents);
}

/// The layer's initializer for a weight; Keras tells an EinsumDense kernel's initializer which axes are inputs.
Initializer initializer_of(const LayerState& layer, const std::string& weight) {
  Initializer initializer = layer.initializers.at(weight);
  const auto* einsum = std::get_if<core::EinsumDenseParams>(&layer.prototype->params);
  if (einsum == nullptr || weight != "kernel" || (initializer.input_axes && initializer.output_axes)) return initializer;
  initializer.input_axes.emplace();
  initializer.output_axes.emplace();
  for (std::size_t i = 0; i < einsum->kernel.size(); ++i) {
    const bool made = einsum->output.find(einsum->kernel[i]) != std::string::npos;
    (made ? initializer.output_axes : initializer.input_axes)->push_back(static_cast<int>(i));
  }
  return initializer;
}

Shape weight_shape(const LayerState& layer, const std::string& weight, const std::string& name,
                   const std::vector<std::int64_t>& sample) {
  const core::LayerParams& params = layer.prototype->params;
  if (const auto* dense = std::get_if<core::DenseParams>(&params)) {
    if (weight == "bias") return {dense->units};
    LAMELLA_EXPECTS(!sample.empty(), shape, "layer '{}': expected min_ndim=2, found ndim=1", core::escaped(name));
    return {known_extent(name, sample, static_cast<int>(sample.size()) - 1), dense->units};
  }
  if (std::holds_alternative<core::PReluParams>(params)) return alpha_shape(layer, name, sample);
  if (const auto* norm = std::get_if<core::LayerNormalizationParams>(&params)) return normalized_shape(*norm, name, sample);
  if (const auto* norm = std::get_if<core::RmsNormalizationParams>(&params))
    return normalized_shape({.axes = norm->axes}, name, sample);
  if (const auto* norm = std::get_if<core::GroupNormalizationParams>(&params))
    return {known_extent(name, sample, sample_axis(name, "axis", norm->axis, sample.size()))};
  if (const auto* table = std::get_if<core::EmbeddingParams>(&params)) return {table->rows, table->width};
  if (const auto* einsum = std::get_if<core::EinsumDenseParams>(&params))
    return einsum_shape(layer, *einsum, weight, name, sample);
  const auto* batch = std::get_if<core::BatchNormalizationParams>(&params);
  LAMELLA_ASSERT(batch != nullptr, "{} has weights, but no rule to build them", layer.class_name);
  return {known_extent(name, sample, sample_axis(name, "axis", batch->axis, sample.size()))};
}

/// The seed of the number-th weight that a model draws.
std::uint64_t seed_of(std::uint64_t seed, std::uint32_t number) {
  constexpr std::uint32_t kWeights = 0x77656967;  // distinct from the counters of the elements
  const auto bits =
      core::philox4x32_10({number, 0, 0, kWeights}, {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)});
  return std::uint64_t{bits[1]} << 32U | bits[0];
}

/// A model made of one layer and inputs.
core::ModelSpec alone(std::shared_ptr<const core::LayerSpec> layer, const std::vector<ValueInfo>& inputs, std::size_t outputs) {
  core::ModelSpec spec;
  core::NodeSpec node;
  for (const ValueInfo& value : inputs) {
    auto input = std::make_shared<core::LayerSpec>();
    input->params = core::InputParams{{}, dtype_of(value.dtype)};
    node.layer = static_cast<int>(spec.layers.size());
    spec.inputs.push_back({node.layer, 0});
    node.inputs.push_back({node.layer, 0});
    spec.nodes.push_back({node.layer, {}});
    spec.layers.push_back(std::move(input));
  }
  node.layer = static_cast<int>(spec.layers.size());
  for (std::size_t i = 0; i < outputs; ++i) spec.outputs.push_back({node.layer, static_cast<int>(i)});
  spec.nodes.push_back(std::move(node));
  spec.layers.push_back(std::move(layer));
  return spec;
}

void expect_nested_inputs(const Layout& layout, const std::string& name, const std::vector<ValueInfo>& inputs) {
  LAMELLA_EXPECTS(inputs.size() == layout.inputs.values.size(), argument, "layer '{}' takes {} inputs, got {}",
                  core::escaped(name), layout.inputs.values.size(), inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& wanted = layout.values.at(Access::call(layout.inputs.values[i]).get()).at(0).sample;
    const auto& found = inputs[i].sample;
    const bool fits = std::equal(found.begin(), found.end(), wanted.begin(), wanted.end(),
                                 [](std::int64_t a, std::int64_t b) { return a < 0 || b < 0 || a == b; });
    LAMELLA_EXPECTS(fits, shape, "layer '{}': input {} has shape {}, the model takes {}", core::escaped(name), i,
                    batch_shape_text(found), batch_shape_text(wanted));
  }
}

std::vector<ValueInfo> inferred(const LayerState& layer, const std::string& name, const std::vector<ValueInfo>& inputs) {
  if (layer.network) expect_nested_inputs(*layer.network->layout, name, inputs);
  const core::ModelSpec spec = alone(layer_spec_of(layer, name), inputs, output_count(layer));
  std::vector<SampleShape> samples;
  for (const ValueInfo& value : inputs) samples.push_back(value.sample);
  std::vector<std::string> dtypes;
  auto shapes = infer_open_shapes(samples, [&](const std::vector<Shape>& closed) {
    ConstantsPool pool;
    const Graph graph = lower(spec, closed, {}, pool);
    dtypes.clear();
    std::vector<Shape> outputs;
    for (const int output : graph.outputs) {
      const Value& value = graph.values[static_cast<std::size_t>(output)];
      outputs.push_back(value.sample);
      dtypes.emplace_back(to_string(value.dtype));
    }
    return std::vector<std::vector<Shape>>{std::move(outputs)};
  });
  std::vector<ValueInfo> result;
  for (std::size_t i = 0; i < dtypes.size(); ++i) result.push_back({std::move(shapes.front()[i]), std::move(dtypes[i])});
  return result;
}

}  // namespace

bool is_input(const LayerState& layer) { return layer.class_name == "InputLayer"; }

std::size_t output_count(const LayerState& layer) {
  if (!layer.network) return 1;
  if (layer.network->layout) return layer.network->layout->outputs.values.size();
  return layer.network->stack.empty() ? 1 : output_count(*layer.network->stack.back());
}

ValueInfo input_value(const LayerState& input) {
  ValueInfo value{{}, input.arguments.at("dtype").get<std::string>()};
  for (const Config& extent : input.arguments.at("batch_shape"))
    value.sample.push_back(extent.is_null() ? -1 : extent.get<std::int64_t>());
  value.sample.erase(value.sample.begin());
  return value;
}

bool is_built(const LayerState& layer) {
  if (layer.network) return layer.network->layout != nullptr;
  return layer.weights.size() == keras::stored_weights(*layer.prototype).size() && (!layer.inner || is_built(*layer.inner));
}

Building::~Building() {
  for (LayerState* layer : built_) {
    layer->weights.clear();
    if (layer->network) layer->network->layout = nullptr;
  }
}

void Building::layer(LayerState& layer, const std::string& name, const std::vector<ValueInfo>& inputs) {
  if (is_built(layer)) return;
  LAMELLA_EXPECTS(inputs.size() == 1, argument, "layer '{}' takes one input, got {}", core::escaped(name), inputs.size());
  const ValueInfo& input = inputs[0];
  if (layer.network) {
    return sequential(layer, Input(input.sample, {.dtype = input.dtype}));
  }
  std::vector<std::shared_ptr<const Tensor>> weights;
  if (layer.weights.empty()) {
    for (const keras::StoredWeight& stored : keras::stored_weights(*layer.prototype)) {
      const std::string weight(stored.name);
      const Shape shape = weight_shape(layer, weight, name, input.sample);
      weights.push_back(std::make_shared<const Tensor>(
          initialize(initializer_of(layer, weight), shape, layer.prototype->policy.variable, seed_of(seed_, drawn_++))));
    }
    built_.push_back(&layer);
    layer.weights = std::move(weights);
  }
  if (!layer.inner) return;
  if (layer.class_name == "TimeDistributed") {
    LAMELLA_EXPECTS(input.sample.size() >= 2, shape, "layer '{}': expected min_ndim=3, found ndim={}", core::escaped(name),
                    input.sample.size() + 1);
    const std::vector<std::int64_t> step(input.sample.begin() + 1, input.sample.end());
    return this->layer(*layer.inner, shown_name(*layer.inner), {{step, input.dtype}});
  }
  LAMELLA_EXPECTS(layer.class_name == "Dense" || is_built(*layer.inner), unsupported,
                  "layer '{}': an activation with weights can be built in a Dense only", core::escaped(name));
  std::vector<std::int64_t> sample = input.sample;
  if (const auto* dense = std::get_if<core::DenseParams>(&layer.prototype->params)) sample.back() = dense->units;
  this->layer(*layer.inner, name + "/activation", {{sample, input.dtype}});
}

void Building::network(LayerState& network, const OneOrMany<KerasTensor>& inputs, const OneOrMany<KerasTensor>& outputs) {
  auto layout = std::make_shared<Layout>(layout_of(inputs, outputs));
  std::map<const LayerState*, const std::string*> names;
  for (const Layout::Entry& entry : layout->layers) names[entry.layer.get()] = &entry.name;
  for (const CallState* call : layout->calls) {
    LayerState& layer = *call->layer;
    if (is_input(layer)) {
      layout->values[call] = {input_value(layer)};
      continue;
    }
    std::vector<ValueInfo> values;
    for (const KerasTensor& input : call->inputs.values)
      values.push_back(layout->values.at(Access::call(input).get()).at(static_cast<std::size_t>(Access::output(input))));
    const std::string& name = *names.at(&layer);
    this->layer(layer, name, values);
    layout->values[call] = inferred(layer, name, values);
  }
  built_.push_back(&network);
  network.network->layout = std::move(layout);
}

void Building::sequential(LayerState& network, const KerasTensor& input) {
  const std::string name = core::escaped(shown_name(network));
  LAMELLA_EXPECTS(!network.network->stack.empty(), argument, "[Sequential] '{}' has no layers", name);
  OneOrMany<KerasTensor> values = input;
  for (const auto& layer : network.network->stack) {
    LAMELLA_EXPECTS(values.values.size() == 1, argument, "[Sequential] '{}': layer '{}' follows a model with {} outputs", name,
                    core::escaped(shown_name(*layer)), values.values.size());
    const auto call = call_of(layer, values);
    values = OneOrMany<KerasTensor>();
    for (std::size_t i = 0; i < output_count(*layer); ++i) values.values.push_back(Access::tensor(call, static_cast<int>(i)));
  }
  values.list = values.values.size() > 1;
  this->network(network, input, values);
}

}  // namespace lamella::model
