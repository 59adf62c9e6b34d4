// SPDX-License-Identifier: Apache-2.0
// The table that Keras' Model.summary() prints: same columns, same totals.
#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "model/impl.hpp"

namespace lamella {
namespace model {
namespace {

constexpr std::size_t kWidth = 88;

struct Count {
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
};

void add(const core::LayerSpec& layer, Count& count, std::set<const Tensor*>& seen) {
  for (const core::Weight& w : layer.weights) {
    if (!seen.insert(w.value.get()).second) continue;  // shared layers count once
    count.elements += w.value->shape().elements();
    count.bytes += static_cast<std::int64_t>(w.value->bytes());
  }
  if (const auto* nested = std::get_if<core::NestedParams>(&layer.params)) {
    for (const auto& inner : nested->model->layers) add(*inner, count, seen);
  }
  if (const auto* dense = std::get_if<core::DenseParams>(&layer.params); dense != nullptr && dense->activation_layer) {
    add(*dense->activation_layer, count, seen);
  }
}

std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string readable(std::int64_t bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "KB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, "%.2f %s", value, kUnits[unit]));
  return text;
}

/// `text` in exactly `width` columns; what does not fit ends in "...".
std::string cell(std::string text, std::size_t width, bool right = false) {
  if (text.size() > width) text = text.substr(0, width - 3) + "...";
  const std::string space(width - text.size(), ' ');
  return right ? space + text : text + space;
}

std::string shape_text(const std::vector<core::Extent>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + (shape[i] ? std::to_string(*shape[i]) : "None");
  return text + (shape.size() == 1 ? ",)" : ")");
}

/// Output shapes of the layers, batch first; found by lowering the model layer by layer.
std::vector<std::string> output_shapes(const core::ModelSpec& spec) {
  std::vector<std::string> shapes(spec.layers.size(), "?");
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    if (const auto* input = std::get_if<core::InputParams>(&spec.layers[l]->params)) shapes[l] = shape_text(input->batch_shape);
  }
  for (std::size_t n = 0; n < spec.nodes.size(); ++n) {
    const auto layer = static_cast<std::size_t>(spec.nodes[n].layer);
    if (shapes[layer] != "?") continue;
    core::ModelSpec part = spec;
    part.outputs = {{static_cast<int>(n), 0}};
    part.output_names = {"output"};
    try {
      const Model model(std::make_shared<const core::ModelSpec>(std::move(part)), {.device = Device::cpu(), .threads = 1});
      std::vector<core::Extent> shape{std::nullopt};
      for (const std::int64_t extent : model.output_shape(0)) shape.push_back(extent < 0 ? core::Extent{} : core::Extent{extent});
      shapes[layer] = shape_text(shape);
    } catch (const Error&) {  // the shape stays unknown; running the model will say why
    }
  }
  return shapes;
}

}  // namespace

std::string summary_of(const core::ModelSpec& spec) {
  const std::size_t type = 36;
  const std::size_t shape = 27;
  const std::size_t params = kWidth - type - shape - 10;
  const auto rule = [&] { return "+" + std::string(type + 2, '-') + "+" + std::string(shape + 2, '-') + "+" + std::string(params + 2, '-') + "+\n"; };
  const auto row = [&](const std::string& a, const std::string& b, const std::string& c, bool right) {
    return "| " + cell(a, type) + " | " + cell(b, shape) + " | " + cell(c, params, right) + " |\n";
  };
  std::string text = "Model: \"" + core::escaped(spec.name) + "\"\n" + rule() + row("Layer (type)", "Output Shape", "Param #", true) + rule();
  const std::vector<std::string> shapes = output_shapes(spec);
  Count total;
  std::set<const Tensor*> seen;
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const core::LayerSpec& layer = *spec.layers[l];
    Count own;
    std::set<const Tensor*> own_seen;
    add(layer, own, own_seen);
    add(layer, total, seen);
    if (spec.class_name == "Sequential" && std::holds_alternative<core::InputParams>(layer.params)) continue;
    text += row(core::escaped(layer.name) + " (" + core::escaped(layer.class_name) + ")", shapes[l], with_commas(own.elements), true);
  }
  text += rule();
  std::set<std::string> notes;
  const auto note = [&](const ActivationSpec& activation) {
    if (activation.kind == ActivationKind::HardSigmoidKeras2) notes.insert("hard_sigmoid is Keras 2's clip(0.2x + 0.5, 0, 1).");
    if (activation.kind == ActivationKind::HardSigmoid) notes.insert("hard_sigmoid is Keras 3's clip(x/6 + 0.5, 0, 1).");
  };
  for (const auto& layer : spec.layers) {
    if (const auto* dense = std::get_if<core::DenseParams>(&layer->params)) note(dense->activation);
    if (const auto* activation = std::get_if<core::ActivationParams>(&layer->params)) note(activation->activation);
  }
  text += " Total params: " + with_commas(total.elements) + " (" + readable(total.bytes) + ")\n";
  for (const std::string& line : notes) text += " " + line + "\n";
  return text;
}

}  // namespace model

std::int64_t Model::count_params() const {
  model::Count total;
  std::set<const Tensor*> seen;
  for (const auto& layer : impl_->spec->layers) model::add(*layer, total, seen);
  return total.elements;
}

}  // namespace lamella
