// SPDX-License-Identifier: Apache-2.0
#include "model/lower/lowering.hpp"

#include <algorithm>
#include <set>

namespace lamella::model {

Lowering::Lowering(const Options& options, ConstantsPool* pool) : options_(options), pool_(pool) {}

int Lowering::add_value(const Shape& sample, DType dtype) {
  const int id = static_cast<int>(graph_.values.size());
  graph_.values.push_back({sample, dtype, id});
  return id;
}

int Lowering::add_step(ops::Desc desc, std::vector<int> srcs, const Shape& sample, DType dtype, const std::string& layer,
                       const ConstantsPool::Values& constants) {
  const int dst = add_value(sample, dtype);
  graph_.steps.push_back({std::move(desc), std::move(srcs), dst, {layer}, pool_ == nullptr ? nullptr : pool_->get(constants)});
  return dst;
}

int Lowering::reshaped(int value, const Shape& sample) {
  const Value from = graph_.values[static_cast<std::size_t>(value)];
  if (from.sample == sample) return value;
  const int id = add_value(sample, from.dtype);
  graph_.values.back().root = from.root;
  return id;
}

int Lowering::alias(int value) {
  const Value from = at(value);
  const int id = add_value(from.sample, from.dtype);
  graph_.values.back().root = from.root;
  return id;
}

int Lowering::cast(int value, DType dtype, const std::string& layer) {
  const Value from = graph_.values[static_cast<std::size_t>(value)];
  if (from.dtype == dtype) return value;
  const auto key = std::pair{value, dtype};
  if (const auto known = casts_.find(key); known != casts_.end()) return known->second;
  return casts_[key] = add_step(ops::CastDesc{from.sample.elements(), from.dtype, dtype}, {value}, from.sample, dtype, layer);
}

int Lowering::autocast(int value, const core::LayerSpec& spec) {
  return is_floating(at(value).dtype) ? cast(value, compute(spec, {value}), spec.path) : value;
}

DType Lowering::floating_compute(const core::LayerSpec& spec) const {
  const DType dtype = compute(spec);
  LAMELLA_EXPECTS(is_floating(dtype), unsupported,
                  "layer '{}' ({}) dtype: got {}, allowed float32, float16, bfloat16, float64, mixed_float16, mixed_bfloat16",
                  core::escaped(spec.path), spec.class_name, to_string(dtype));
  return dtype;
}

int Lowering::transposed(int value, const std::vector<int>& axes, const std::string& layer) {
  const Value from = graph_.values[static_cast<std::size_t>(value)];
  if (std::is_sorted(axes.begin(), axes.end())) return value;
  ops::TransposeDesc desc{from.sample.prepended(1), {0}, from.dtype};
  std::vector<std::int64_t> extents;
  std::vector<int> long_axes;  // axes of one element may be anywhere
  for (const int axis : axes) {
    desc.permutation.push_back(axis + 1);
    extents.push_back(from.sample[axis]);
    if (from.sample[axis] != 1) long_axes.push_back(axis);
  }
  if (std::is_sorted(long_axes.begin(), long_axes.end())) return reshaped(value, Shape(extents));
  return add_step(desc, {value}, Shape(extents), from.dtype, layer);
}

std::vector<int> Lowering::model(const core::ModelSpec& spec, const std::vector<int>& inputs) {
  std::vector<std::vector<int>> results;
  nodes(spec, inputs, results);
  std::vector<int> outputs;
  for (const core::ValueRef& ref : spec.outputs) {
    outputs.push_back(results.at(static_cast<std::size_t>(ref.node)).at(static_cast<std::size_t>(ref.output)));
  }
  return outputs;
}

void Lowering::nodes(const core::ModelSpec& spec, const std::vector<int>& inputs, std::vector<std::vector<int>>& results) {
  if (depth_++ == 0) wrote_ = spec.keras_version;
  results.resize(spec.nodes.size());
  for (std::size_t i = 0; i < spec.inputs.size(); ++i) {
    results[static_cast<std::size_t>(spec.inputs[i].node)] = {inputs.at(i)};
  }
  for (std::size_t n = 0; n < spec.nodes.size(); ++n) {
    if (!results[n].empty()) continue;  // an input
    const core::NodeSpec& node = spec.nodes[n];
    std::vector<int> srcs;
    for (const core::ValueRef& ref : node.inputs) {
      srcs.push_back(results.at(static_cast<std::size_t>(ref.node)).at(static_cast<std::size_t>(ref.output)));
    }
    try {
      results[n] = called(spec, node, std::move(srcs));
    } catch (const ArgumentError& error) {  // from a deeper level, such as an impossible shape
      const std::string_view what = core::without_code(error.what());
      if (what.starts_with("layer '")) throw;
      const std::string& path = spec.layers.at(static_cast<std::size_t>(node.layer))->path;
      throw ArgumentError(error.code(), core::format("layer '{}': {}", core::escaped(path), what));
    }
  }
  --depth_;
}

Graph Lowering::finish(const std::vector<int>& outputs) {
  // An output must have its own memory: not the input's, not another output's, and not memory that a later step reads.
  std::set<int> taken(graph_.inputs.begin(), graph_.inputs.end());
  for (int value : outputs) {
    const Value from = graph_.values[static_cast<std::size_t>(value)];
    if (taken.contains(from.root)) {
      value =
          add_step(ops::CastDesc{from.sample.elements(), from.dtype, from.dtype}, {value}, from.sample, from.dtype, "(output)");
    }
    taken.insert(graph_.root(value));
    graph_.outputs.push_back(value);
  }
  return std::move(graph_);
}

namespace {

std::vector<int> add_inputs(Lowering& lowering, const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes,
                            const Options& options) {
  std::vector<int> inputs;
  for (std::size_t i = 0; i < spec.inputs.size(); ++i) {
    const auto& node = spec.nodes.at(static_cast<std::size_t>(spec.inputs[i].node));
    const auto& params = std::get<core::InputParams>(spec.layers.at(static_cast<std::size_t>(node.layer))->params);
    inputs.push_back(lowering.add_input(sample_shapes.at(i), input_dtype(params, options)));
  }
  return inputs;
}

}  // namespace

DType input_dtype(const core::InputParams& input, const Options& options) {
  return is_floating(input.dtype) && options.dtype == DType::float64 ? DType::float64 : input.dtype;
}

Graph lower(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes, const Options& options, ConstantsPool& pool) {
  Lowering lowering(options, &pool);
  return lowering.finish(lowering.model(spec, add_inputs(lowering, spec, sample_shapes, options)));
}

std::vector<std::vector<Shape>> node_shapes(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes) {
  const Options options;
  Lowering lowering(options, nullptr);
  std::vector<std::vector<int>> results(spec.nodes.size());
  try {
    lowering.nodes(spec, add_inputs(lowering, spec, sample_shapes, options), results);
  } catch (const Error&) {  // nodes before the failure have their shapes
  }
  std::vector<std::vector<Shape>> shapes(spec.nodes.size());
  for (std::size_t n = 0; n < shapes.size(); ++n) {
    for (const int value : results[n]) shapes[n].push_back(lowering.at(value).sample);
  }
  return shapes;
}

}  // namespace lamella::model
