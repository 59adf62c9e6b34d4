// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <lamella/export.hpp>

/// Activations as plain data. All of it is generated from the rows of lamella/activation.def.
namespace lamella {

/// Every activation: Keras' own, and the forms of them that parameters or older versions of Keras select.
enum class ActivationKind : std::uint8_t {
#define LAMELLA_ELEMENTWISE(Name, ...) Name,
#define LAMELLA_ROWWISE(Name, ...) Name,
#include <lamella/activation.def>
};

/// A named parameter of an activation, with the default of Keras' function.
struct ActivationParameter {
  std::string_view name;
  double default_value = 0;
  bool required = false;  ///< there is no default
};

/// An activation with its parameters, in the order of parameters_of(kind); unused ones are 0. Plain data: functions that take one
/// check it.
struct ActivationSpec {
  ActivationKind kind = ActivationKind::Linear;
  std::array<double, 3> parameters{};
  int axis = -1;  ///< row-wise kinds only; the batch counts as axis 0

  /// keras.activations.relu with parameters, as the simplest kind that computes it.
  /// Throws ArgumentError (value) when a parameter is negative or not a number.
  [[nodiscard]] LAMELLA_API static ActivationSpec relu(double negative_slope = 0, std::optional<double> max_value = {},
                                                       double threshold = 0);
  [[nodiscard]] static ActivationSpec leaky_relu(double negative_slope = 0.2) {
    return {.kind = ActivationKind::LeakyRelu, .parameters = {negative_slope}};
  }
  [[nodiscard]] static ActivationSpec elu(double alpha = 1) { return {.kind = ActivationKind::Elu, .parameters = {alpha}}; }
  /// Exact (erf), or the approximation by tanh.
  [[nodiscard]] static ActivationSpec gelu(bool approximate = false) {
    return {.kind = approximate ? ActivationKind::GeluTanh : ActivationKind::Gelu};
  }
  [[nodiscard]] static ActivationSpec softmax(int axis = -1) { return {.kind = ActivationKind::Softmax, .axis = axis}; }

  friend bool operator==(const ActivationSpec&, const ActivationSpec&) = default;
};

/// The names that keras.activations.get() accepts, aliases included, in alphabetical order.
[[nodiscard]] LAMELLA_API std::span<const std::string_view> activation_names() noexcept;

/// The activation of a Keras name with its default parameters. Also takes what older files hold: "softmax_v2", and the names of
/// layers without weights ("LeakyReLU" with that layer's own default). Throws ArgumentError (value) for an unknown name, listing
/// similar ones, and for one whose parameters have no defaults.
[[nodiscard]] LAMELLA_API ActivationSpec activation_of(std::string_view keras_name);

/// A parameter and its value: {"negative_slope", 0.1}; for row-wise kinds {"axis", 1}.
using ActivationValue = std::pair<std::string_view, double>;
/// The same with parameters by name, the others as above: activation_of("celu", {{"alpha", 0.5}}). Throws ArgumentError (value)
/// for an unknown or missing parameter, listing the known ones.
[[nodiscard]] LAMELLA_API ActivationSpec activation_of(std::string_view keras_name, std::span<const ActivationValue> parameters);
[[nodiscard]] inline ActivationSpec activation_of(std::string_view keras_name,
                                                  std::initializer_list<ActivationValue> parameters) {
  return activation_of(keras_name, std::span<const ActivationValue>(parameters.begin(), parameters.size()));
}

/// The name of a kind: Keras' name, or lamella's own ("gelu_tanh") where Keras has none; "no activation" for a number outside the
/// enumeration. In static storage, as are the results of to_string() for all enumerations.
[[nodiscard]] LAMELLA_API std::string_view to_string(ActivationKind kind) noexcept;

/// Works on whole rows (softmax, log_softmax, sparsemax, glu) instead of single elements.
[[nodiscard]] LAMELLA_API bool is_rowwise(ActivationKind kind) noexcept;

/// The parameters of a kind, at most three.
[[nodiscard]] LAMELLA_API std::span<const ActivationParameter> parameters_of(ActivationKind kind) noexcept;

/// Index of a parameter in ActivationSpec::parameters, or -1.
[[nodiscard]] LAMELLA_API int parameter_index(ActivationKind kind, std::string_view parameter) noexcept;

/// Largest distance from the exact value of an element-wise kind in float32, in units in the last place; 0 for row-wise kinds.
[[nodiscard]] LAMELLA_API int ulp_bound(ActivationKind kind) noexcept;

}  // namespace lamella
