// SPDX-License-Identifier: Apache-2.0
// Valid and invalid calls in random order. After any failure the model computes the same bits.
#include <lamella/lamella.hpp>

#include <array>
#include <vector>

#include "fuzz.hpp"

using namespace lamella;

namespace {

constexpr std::array kModels{"dense", "dense_chain", "functional", "graph", "h5_prelu", "dense_batch_normalization"};
constexpr std::array kActivations{"relu", "tanh", "softmax", "linear", "gelu", "", "Relu", "no such"};
constexpr std::array kLayers{"dense", "dense_1", "activation", "", "nobody"};
constexpr std::array kTypes{
#define LAMELLA_DTYPE(enumerator, ...) DType::enumerator,
#include <lamella/dtype.def>
};

std::vector<Model> load_all() {
  std::vector<Model> models;
  for (const char* name : kModels) {
    const std::string folder = std::string(LAMELLA_FIXTURES) + "/keras3/" + name;
    const std::string path = folder + (std::string_view(name).starts_with("h5_") ? "/model.h5" : "/model.keras");
    models.push_back(Model::load(path, {.device = Device::cpu(), .threads = 1, .max_batch = 5}));
  }
  return models;
}

Shape full(const Model& model, int input, std::int64_t rows) {
  std::vector<std::int64_t> extents = model.input_shape(input);
  for (std::int64_t& extent : extents) extent = extent < 0 ? 2 : extent;
  extents.insert(extents.begin(), rows);
  return Shape(extents);
}

std::vector<Tensor> inputs_of(const Model& model, std::int64_t rows) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < model.input_names().size(); ++i) {
    inputs.push_back(Tensor::zeros(full(model, static_cast<int>(i), rows)));
    float value = -2.0F;
    for (float& x : inputs.back().span<float>()) x = value = value > 2.0F ? -2.0F : value + 0.375F;
  }
  return inputs;
}

std::vector<Tensor> answer(const Model& model, std::int64_t rows) {
  const std::vector<Tensor> inputs = inputs_of(model, rows);
  return model.predict(std::vector<TensorView>(inputs.begin(), inputs.end()));
}

bool same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) {
    equal = a[i].shape() == b[i].shape() && std::memcmp(a[i].data(), b[i].data(), a[i].bytes()) == 0;
  }
  return equal;
}

Tensor any_tensor(fuzz::Dice& dice) {
  std::vector<std::int64_t> extents;
  for (std::size_t rank = dice.below(5); rank > 0; --rank) extents.push_back(static_cast<std::int64_t>(dice.below(9)));
  return Tensor::zeros(Shape(extents), kTypes[dice.below(kTypes.size())]);
}

/// One call that may fail and must not change `model`.
void try_reading(const Model& model, fuzz::Dice& dice) {
  switch (dice.below(11)) {
    case 0:
      return static_cast<void>(model.predict(any_tensor(dice)));
    case 1:
      return static_cast<void>(answer(model, static_cast<std::int64_t>(dice.below(17))));
    case 2: {
      Tensor out = any_tensor(dice);
      return model.predict_into(any_tensor(dice), out);
    }
    case 3:
      return static_cast<void>(
          model.explain({.batch = static_cast<std::int64_t>(dice.below(9)) - 2, .json = dice.below(2) == 1}));
    case 4:
      return static_cast<void>(model.get_layer(dice.below(2) == 0 ? kLayers[dice.below(kLayers.size())] : dice.text(40)));
    case 5:
      return static_cast<void>(model.input_shape(static_cast<int>(dice.below(5)) - 2));
    case 6:
      return static_cast<void>(model.output_shape(static_cast<int>(dice.below(5)) - 2));
    case 7:
      return static_cast<void>(any_tensor(dice).to(kTypes[dice.below(kTypes.size())]));
    case 8:
      return static_cast<void>(any_tensor(dice).reshaped(any_tensor(dice).shape()));
    case 9:
      return static_cast<void>(model.with_activation(kLayers[dice.below(kLayers.size())], dice.text(20)));
    default:
      return static_cast<void>(model.with_weights("/dev/null" + dice.text(3)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Model> models = load_all();
  fuzz::Dice dice(data, size);
  Model model = models[dice.below(models.size())];
  std::vector<Tensor> before = answer(model, 3);
  for (int step = 0; step < 32 && !dice.empty(); ++step) {
    if (dice.below(4) == 0) {
      const bool changed = fuzz::survives(
          [&] { model.set_activation(kLayers[dice.below(kLayers.size())], kActivations[dice.below(kActivations.size())]); });
      if (changed) before = answer(model, 3);
    } else {
      fuzz::survives([&] { try_reading(model, dice); });
    }
    fuzz::expect(same(before, answer(model, 3)), "a call changed the model's results");
  }
  return 0;
}
