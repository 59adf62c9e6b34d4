// SPDX-License-Identifier: Apache-2.0
// The layers that models are built of, with Keras' arguments.
#include <optional>
#include <string>
#include <vector>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include "arguments.hpp"

namespace lamella::python {
namespace {

using Text = std::optional<std::string>;

/// The arguments that all layers have.
struct Common {
  std::string name;
  bool trainable;
  std::string dtype;
};

template <typename Options>
Options with(const Common& common, Options options) {
  options.name = common.name;
  options.trainable = common.trainable;
  options.dtype = common.dtype;
  return options;
}

/// Binds a class whose layers `make` makes; `own` are the names and defaults of its own arguments.
template <typename L, typename... Arguments, typename... Own>
void bind_layer(nb::module_& module, const char* class_name, const char* doc, L (*make)(const Common&, Arguments...),
                const Own&... own) {
  nb::class_<L, Layer>(module, class_name, doc)
      .def(
          "__init__",
          [make](L* self, Arguments... arguments, const Text& name, bool trainable, const Text& dtype) {
            new (self) L(make({name.value_or(""), trainable, dtype.value_or("float32")}, arguments...));
          },
          own..., nb::kw_only(), nb::arg("name").none() = nb::none(), nb::arg("trainable") = true,
          nb::arg("dtype").none() = nb::none());
}

template <typename L>
void bind_plain(nb::module_& module, const char* class_name, const char* doc) {
  bind_layer(
      module, class_name, doc, +[](const Common& c) { return L(with(c, LayerOptions{})); });
}

template <typename T>
using One = std::variant<T, std::vector<T>>;
template <typename T>
OneOrMany<T> one_or_many(const One<T>& given) {
  return std::visit([](const auto& value) { return OneOrMany<T>(value); }, given);
}

void bind_products(nb::module_& module) {
  using H = nb::handle;
  bind_layer(
      module, "Dense", "activation(x . kernel + bias) over the last axis. Weights: kernel, [bias].",
      +[](const Common& c, std::int64_t units, H activation, bool use_bias, H kernel, H bias) {
        return Dense(units, with(c, DenseOptions{.activation = activation_argument(activation),
                                                 .use_bias = use_bias,
                                                 .kernel_initializer = initializer_from(kernel),
                                                 .bias_initializer = initializer_from(bias)}));
      },
      nb::arg("units"), nb::arg("activation").none() = nb::none(), nb::arg("use_bias") = true,
      nb::arg("kernel_initializer") = "glorot_uniform", nb::arg("bias_initializer") = "zeros");
  bind_layer(
      module, "Embedding", "Row x of a table of input_dim rows: integers become vectors of output_dim. Weight: embeddings.",
      +[](const Common& c, std::int64_t rows, std::int64_t width, H embeddings, bool mask_zero) {
        return Embedding(
            rows, width,
            with(c, EmbeddingOptions{.embeddings_initializer = initializer_from(embeddings), .mask_zero = mask_zero}));
      },
      nb::arg("input_dim"), nb::arg("output_dim"), nb::arg("embeddings_initializer") = "uniform", nb::arg("mask_zero") = false);
}

void bind_activations(nb::module_& module) {
  using H = nb::handle;
  bind_layer(
      module, "Activation", "The activation of this name of keras.activations, or of lamella.activation_of(name, ...).",
      +[](const Common& c, H activation) { return Activation(activation_argument(activation), with(c, LayerOptions{})); },
      nb::arg("activation"));
  bind_layer(
      module, "ReLU", "Keras' ReLU: below threshold, negative_slope * (x - threshold); at most max_value.",
      +[](const Common& c, std::optional<double> most, double slope, double threshold) {
        return ReLU(with(c, ReLUOptions{.max_value = most, .negative_slope = slope, .threshold = threshold}));
      },
      nb::arg("max_value").none() = nb::none(), nb::arg("negative_slope") = 0.0, nb::arg("threshold") = 0.0);
  bind_layer(
      module, "LeakyReLU", "x where x >= 0, else negative_slope * x.",
      +[](const Common& c, double slope) { return LeakyReLU(with(c, LeakyReLUOptions{.negative_slope = slope})); },
      nb::arg("negative_slope") = 0.3);
  bind_layer(
      module, "PReLU", "x where x >= 0, else alpha * x. Weight: alpha, shared along shared_axes, of which the batch is axis 0.",
      +[](const Common& c, H alpha, const std::optional<std::vector<int>>& shared) {
        return PReLU(with(
            c, PReLUOptions{.alpha_initializer = initializer_from(alpha), .shared_axes = shared.value_or(std::vector<int>{})}));
      },
      nb::arg("alpha_initializer") = "zeros", nb::arg("shared_axes").none() = nb::none());
  bind_layer(
      module, "ELU", "x where x > 0, else alpha * (exp(x) - 1).",
      +[](const Common& c, double alpha) { return ELU(with(c, ELUOptions{.alpha = alpha})); }, nb::arg("alpha") = 1.0);
  bind_layer(
      module, "Softmax", "exp(x) / sum(exp(x)) along an axis or several; the batch is axis 0.",
      +[](const Common& c, const One<int>& axis) { return Softmax(with(c, SoftmaxOptions{.axis = one_or_many(axis)})); },
      nb::arg("axis") = -1);
}

void bind_normalizations(nb::module_& module) {
  bind_layer(
      module, "BatchNormalization",
      "gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta. Weights: [gamma], [beta], moving_mean, "
      "moving_variance.",
      +[](const Common& c, int axis, double momentum, double epsilon, bool center, bool scale) {
        return BatchNormalization(with(
            c,
            BatchNormalizationOptions{.axis = axis, .momentum = momentum, .epsilon = epsilon, .center = center, .scale = scale}));
      },
      nb::arg("axis") = -1, nb::arg("momentum") = 0.99, nb::arg("epsilon") = 1e-3, nb::arg("center") = true,
      nb::arg("scale") = true);
  bind_layer(
      module, "LayerNormalization",
      "gamma * (x - mean) / sqrt(variance + epsilon) + beta, of each sample. Weights: [gamma], [beta].",
      +[](const Common& c, const One<int>& axis, double epsilon, bool center, bool scale) {
        return LayerNormalization(
            with(c, LayerNormalizationOptions{.axis = one_or_many(axis), .epsilon = epsilon, .center = center, .scale = scale}));
      },
      nb::arg("axis") = -1, nb::arg("epsilon") = 1e-3, nb::arg("center") = true, nb::arg("scale") = true);
  bind_layer(
      module, "Rescaling", "x * scale + offset.",
      +[](const Common& c, const One<double>& scale, const One<double>& offset) {
        return Rescaling(one_or_many(scale), with(c, RescalingOptions{.offset = one_or_many(offset)}));
      },
      nb::arg("scale"), nb::arg("offset") = 0.0);
}

void bind_shapes(nb::module_& module) {
  bind_plain<Identity>(module, "Identity", "Its input.");
  bind_layer(
      module, "Dropout", "Its input: Dropout has an effect in training only. Keras finds it in a saved file.",
      +[](const Common& c, double rate, std::optional<std::uint64_t> seed) {
        return Dropout(rate, with(c, DropoutOptions{.seed = seed}));
      },
      nb::arg("rate"), nb::arg("seed").none() = nb::none());
  bind_layer(
      module, "Flatten", "Each sample as a vector.", +[](const Common& c) { return Flatten(with(c, FlattenOptions{})); });
  bind_layer(
      module, "Reshape", "Each sample in this shape; one extent may be -1.",
      +[](const Common& c, const std::vector<std::int64_t>& shape) { return Reshape(shape, with(c, LayerOptions{})); },
      nb::arg("target_shape"));
  bind_plain<Add>(module, "Add", "The sum of several values: Add()([a, b]).");
  bind_plain<Subtract>(module, "Subtract", "The difference of two values.");
  bind_plain<Multiply>(module, "Multiply", "The product of several values.");
  bind_plain<Average>(module, "Average", "The mean of several values.");
  bind_plain<Maximum>(module, "Maximum", "The largest of several values, element by element.");
  bind_plain<Minimum>(module, "Minimum", "The smallest of several values, element by element.");
  bind_layer(
      module, "Concatenate", "Several values, one after the other along an axis.",
      +[](const Common& c, int axis) { return Concatenate(with(c, ConcatenateOptions{.axis = axis})); }, nb::arg("axis") = -1);
}

OneOrMany<KerasTensor> values_from(const char* where, nb::handle given) {
  if (nb::isinstance<KerasTensor>(given)) return nb::cast<const KerasTensor&>(given);
  std::vector<KerasTensor> values;
  if (!nb::try_cast(given, values))
    throw nb::type_error((std::string(where) + ": got " + shown(given) +
                          ", allowed is a value of lamella.Input() or of a called layer, or a list of them")
                             .c_str());
  return values;
}

KerasTensor input(const std::vector<std::optional<std::int64_t>>& shape, const Text& name, const Text& dtype) {
  std::vector<std::int64_t> extents;
  for (const auto& extent : shape) extents.push_back(extent.value_or(-1));
  return Input(extents, {.name = name.value_or(""), .dtype = dtype.value_or("float32")});
}

PyModel compiled(const Network& network, const nb::dict& options) {
  return {std::make_shared<const Loaded>(network.compile(options_from(options)))};
}

PyModel sequential(const std::vector<nb::object>& layers, const Text& name, std::uint64_t seed, const nb::dict& options) {
  std::vector<Layer> stack;
  for (const nb::object& each : layers) {
    if (nb::isinstance<KerasTensor>(each))
      stack.push_back(nb::cast<const KerasTensor&>(each));
    else if (nb::isinstance<Layer>(each))
      stack.push_back(nb::cast<const Layer&>(each));
    else
      throw nb::type_error(("Sequential: got " + shown(each) + ", allowed are layers such as lamella.Dense(4)").c_str());
  }
  if (stack.empty() || stack.front().class_name() != "InputLayer" || stack.size() == 1)
    throw ArgumentError(ErrorCode::argument, "Sequential: layers begin with lamella.Input(shape), and at least one follows");
  return compiled(Sequential(stack, {.name = name.value_or(""), .seed = seed}), options);
}

PyModel functional(nb::handle inputs, nb::handle outputs, const Text& name, std::uint64_t seed, const nb::dict& options) {
  return compiled(
      Functional(values_from("inputs", inputs), values_from("outputs", outputs), {.name = name.value_or(""), .seed = seed}),
      options);
}

}  // namespace

void bind_layers(nb::module_& module) {
  nb::class_<KerasTensor>(module, "KerasTensor", "A value that a model will compute: what Input() and calls of layers return.");
  nb::class_<Layer>(module, "NewLayer", "A layer to build models of. One that is called twice, or is in two models, is shared.")
      .def(
          "__call__", [](const Layer& self, nb::handle x) { return self(values_from("x", x)); }, nb::arg("x"),
          "The value that the layer computes from one value, or from a list of them; lamella.Functional() makes a model of such "
          "calls.")
      .def_prop_ro(
          "name", [](const Layer& self) { return self.name(); },
          "The given name, else that of the class, such as \"dense\", to which a model adds numbers.");
  bind_products(module);
  bind_activations(module);
  bind_normalizations(module);
  bind_shapes(module);
  module.def("Input", &input, nb::arg("shape"), nb::arg("name").none() = nb::none(), nb::arg("dtype").none() = nb::none(),
             "Where a model begins: samples of this shape, without the batch; None where the extent is open.");
  module.def("sequential", &sequential, nb::arg("layers"), nb::arg("name").none(), nb::arg("seed"), nb::arg("options"));
  module.def("functional", &functional, nb::arg("inputs"), nb::arg("outputs"), nb::arg("name").none(), nb::arg("seed"),
             nb::arg("options"));
  module.def(
      "check_activation", [](nb::handle activation) { static_cast<void>(activation_from(activation)); }, nb::arg("activation"));
}

}  // namespace lamella::python
