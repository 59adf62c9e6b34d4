// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/subject.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/bench/check.hpp"
#include "core/format.hpp"

namespace lamella::bench {
namespace {

Sequential network_of(const Cell& cell, const std::string& dtype) {
  std::vector<Layer> layers{Layer(Input({cell.width}, {.dtype = dtype}))};
  if (cell.level == Level::activation) {
    layers.push_back(Activation(cell.activation, {.dtype = dtype}));
    return Sequential(layers);
  }
  for (std::int64_t i = 0; i < cell.depth; ++i) {
    layers.push_back(Dense(cell.width, {.activation = cell.activation, .bias_initializer = "random_normal", .dtype = dtype}));
  }
  return Sequential(layers);
}

void append_distinct(std::string& list, const std::string& word) {
  if (word.empty()) return;
  const std::string padded = ", " + list + ", ";
  if (padded.find(", " + word + ", ") == std::string::npos) list += (list.empty() ? "" : ", ") + word;
}

}  // namespace

void Subject::build() const {
  if (cell_.file.empty() && !network_) network_.emplace(network_of(cell_, std::string(to_string(dtype()))));
}

Model Subject::compiled(const Options& options) const {
  if (!cell_.file.empty()) return Model::load(cell_.file, options);
  build();
  return network_->compile(options);
}

Model Subject::compile(const Way& way, int threads) const {
  Options options;
  options.device = way.device;
  options.engine = way.engine;
  options.fusion = way.fusion;
  options.graphs = way.graphs;
  options.threads = threads;
  options.max_batch = std::max<std::int64_t>(options.max_batch, cell_.batch);
  if (!cell_.file.empty()) options.dtype = cell_.dtype;  // else the layers have the dtype
  return compiled(options);
}

Model Subject::reference(int threads) const {
  Options options;
  options.device = Device::cpu();
  options.engine = "reference";
  options.fusion = Fusion::none;
  options.dtype = DType::float64;
  options.threads = threads;
  return compiled(options);
}

std::vector<Tensor> Subject::inputs(const Model& model) const {
  std::vector<Tensor> result;
  for (std::size_t i = 0; i < model.input_names().size(); ++i) {
    std::vector<std::int64_t> shape = model.input_shape(static_cast<int>(i));
    if (std::find(shape.begin(), shape.end(), -1) != shape.end()) {
      throw ArgumentError(ErrorCode::shape, core::format("bench: input '{}' has an open shape; the bench takes fixed ones",
                                                         model.input_names()[i]));
    }
    shape.insert(shape.begin(), cell_.batch);
    result.push_back(random_tensor(Shape(shape), model.input_dtype(static_cast<int>(i)), static_cast<std::uint32_t>(i + 1)));
  }
  return result;
}

double Subject::footprint() const {
  const auto batch = static_cast<double>(cell_.batch);
  const auto width = static_cast<double>(cell_.width);
  const auto depth = static_cast<double>(cell_.level == Level::activation ? 0 : cell_.depth);
  return static_cast<double>(size_of(dtype())) * (3 * batch * width + depth * width * width);
}

Runnable::Runnable(const Subject& subject, const Model& model, void* stream)
    : model_(model),
      stream_(stream),
      batch_(subject.cell().batch),
      host_inputs_(subject.inputs(model_)),
      single_(model_.input_names().size() == 1 && model_.output_names().size() == 1) {
  if (!single_) return;
  const Tensor y = model_.predict(host_inputs_[0]);  // its shape and dtype
  x_ = host_inputs_[0].to(model_.device());
  y_ = Tensor(y.shape(), y.dtype(), model_.device());
}

std::vector<Tensor> Runnable::run_once(Clock& clock) {
  if (!single_) return model_.predict(std::vector<TensorView>(host_inputs_.begin(), host_inputs_.end()));
  Tensor poisoned(y_.shape(), y_.dtype());
  poison(poisoned);
  y_ = poisoned.to(model_.device());
  static_cast<void>(clock.time(call(), 1));
  std::vector<Tensor> outputs;
  outputs.push_back(y_.to(Device::cpu()));
  return outputs;
}

Call Runnable::call() {
  if (!single_) {
    return [this] { static_cast<void>(model_.predict(std::vector<TensorView>(host_inputs_.begin(), host_inputs_.end()))); };
  }
  if (model_.device().is_cpu()) return [this] { model_.predict_into(x_, y_); };
  return [this] { model_.predict_into(x_, y_, stream_); };
}

DType Runnable::coarsest() const {
  DType result = DType::float64;
  for (const LayerInfo& layer : model_.layers()) {
    const DType dtype = layer.compute_dtype.value_or(result);
    if (unit_roundoff(dtype) > unit_roundoff(result)) result = dtype;
  }
  return result;
}

Runnable::Explained Runnable::explained() const {
  const auto text = nlohmann::json::parse(model_.explain({.batch = batch_, .json = true}));
  Explained result;
  // Chunks of rows run side by side, and each step's prediction is of one chunk.
  double rounds = 1;
  if (const auto chunks = text.find("chunks"); chunks != text.end())
    rounds = std::ceil(chunks->at("count").get<double>() / chunks->at("at_once").get<double>());
  result.predicted_us = 0;
  for (const auto& step : text.at("steps")) {
    const auto& predicted = step.at("predicted");
    if (predicted.is_null()) {
      result.predicted_us.reset();
    } else if (result.predicted_us) {
      *result.predicted_us += rounds * predicted.get<double>();
    }
    result.steps.push_back({step.at("bytes").get<double>(), step.at("flops").get<double>()});
    append_distinct(result.engines, step.at("engine").get<std::string>());
    append_distinct(result.fused, step.at("fused").get<std::string>());
  }
  return result;
}

}  // namespace lamella::bench
