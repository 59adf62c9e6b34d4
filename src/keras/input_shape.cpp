// SPDX-License-Identifier: Apache-2.0
// The input of a Sequential that was saved before Keras knew its shape.
#include "core/layer_changes.hpp"
#include "keras/reading.hpp"

namespace lamella::keras {
namespace {

/// The input that the layers take: `shape`, or, if that is empty, anything that `undecided` takes.
struct Taken {
  std::vector<core::Extent> shape;
  const core::LayerSpec* undecided = nullptr;
};

bool keeps_shape(const core::LayerParams& params) {
  const auto* activation = std::get_if<core::ActivationParams>(&params);
  return std::holds_alternative<core::IdentityParams>(params) ||
         (activation != nullptr && activation->activation.kind != ActivationKind::Glu);
}

Taken taken_by(const core::ModelSpec& model) {
  if (model.inputs.size() != 1) return {{}, model.layers.back().get()};
  const auto& input = *model.layers[static_cast<std::size_t>(model.nodes[static_cast<std::size_t>(model.inputs[0].node)].layer)];
  const auto& known = std::get<core::InputParams>(input.params).batch_shape;
  if (!known.empty() || model.class_name != "Sequential") return {known, &input};
  for (std::size_t i = 1; i < model.layers.size(); ++i) {
    const core::LayerSpec& layer = *model.layers[i];
    if (const auto* nested = std::get_if<core::NestedParams>(&layer.params)) return taken_by(*nested->model);
    const auto* dense = std::get_if<core::DenseParams>(&layer.params);
    if (dense != nullptr && !dense->quantization) return {{{}, layer.weights.at(0).value->shape()[0]}, nullptr};
    if (!keeps_shape(layer.params)) return {{}, &layer};
  }
  return {{}, model.layers.back().get()};
}

}  // namespace

std::shared_ptr<const core::ModelSpec> with_input_shape(std::shared_ptr<const core::ModelSpec> model, const Reading& reading,
                                                        const std::optional<std::vector<std::int64_t>>& sample) {
  const core::LayerSpec& first = *model->layers.front();
  const auto* input = std::get_if<core::InputParams>(&first.params);
  if (model->class_name != "Sequential" || input == nullptr || !input->batch_shape.empty()) return model;
  Taken taken = taken_by(*model);
  if (taken.shape.empty() && sample) {
    taken.shape.emplace_back();
    for (const std::int64_t extent : *sample) taken.shape.push_back(extent == -1 ? core::Extent() : core::Extent(extent));
  }
  if (taken.shape.empty()) {
    reading.where.layer(taken.undecided->path)
        .fail(ErrorCode::missing,
              "the file does not give the shape of the model's input, and {} does not imply it; pass it to "
              "lamella::load_with_shape(), let `lamella predict` take it from its input, or start the model with "
              "keras.Input(shape) and save it again",
              core::escaped(taken.undecided->class_name));
  }
  core::LayerChanges changes;
  std::get<core::InputParams>(changes.copy_of(first).params).batch_shape = std::move(taken.shape);
  return std::move(changes).apply_to(*model);
}

}  // namespace lamella::keras
