// SPDX-License-Identifier: Apache-2.0
#include "arguments.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace lamella::python {
namespace {

[[noreturn]] void refuse_type(const std::string& what, nb::handle given, const std::string& allowed) {
  throw nb::type_error((what + ": got " + shown(given) + ", allowed " + allowed).c_str());
}

template <typename T>
void set(T& field, const std::string& name, nb::handle value) {
  if (!nb::try_cast<T>(value, field))
    throw ArgumentError(ErrorCode::value, "initializer: " + name + " is " + shown(value) + ", allowed is one value of its type");
}

void set_parameter(Initializer& initializer, const std::string& name, nb::handle value) {
  const std::pair<const char*, double Initializer::*> numbers[] = {
      {"value", &Initializer::value},   {"gain", &Initializer::gain},     {"mean", &Initializer::mean},
      {"stddev", &Initializer::stddev}, {"minval", &Initializer::minval}, {"maxval", &Initializer::maxval},
      {"scale", &Initializer::scale}};
  for (const auto& [known, field] : numbers) {
    if (name == known) return set(initializer.*field, name, value);
  }
  if (name == "mode") return set(initializer.mode, name, value);
  if (name == "distribution") return set(initializer.distribution, name, value);
  if (name == "seed") return set(initializer.seed.emplace(), name, value);
  if (name == "input_axes") return set(initializer.input_axes.emplace(), name, value);
  if (name == "output_axes") return set(initializer.output_axes.emplace(), name, value);
  throw ArgumentError(ErrorCode::value,
                      "initializer: no parameter is named '" + printable(name) +
                          "'; known: value, gain, mean, stddev, minval, maxval, scale, mode, distribution, seed, "
                          "input_axes, output_axes");
}

}  // namespace

std::string shown(nb::handle value) { return printable(nb::cast<std::string>(nb::repr(value))); }

ActivationSpec activation_from(nb::handle given) {
  if (nb::isinstance<nb::str>(given)) return activation_of(nb::cast<std::string>(given));
  if (!nb::hasattr(given, "parameters") || !nb::hasattr(given, "name"))
    refuse_type("activation", given, "a str, lamella.activation_of(...)");
  const auto name = nb::cast<std::string>(given.attr("name"));
  const auto parameters = nb::cast<std::vector<std::pair<std::string, double>>>(given.attr("parameters"));
  const std::vector<ActivationValue> values(parameters.begin(), parameters.end());
  return activation_of(name, values);
}

ActivationArgument activation_argument(nb::handle given) {
  if (given.is_none()) return {};
  if (nb::isinstance<Layer>(given)) return nb::cast<Layer>(given);
  if (nb::isinstance<nb::str>(given)) return nb::cast<std::string>(given);
  return activation_from(given);
}

Initializer initializer_from(nb::handle given) {
  if (nb::isinstance<nb::str>(given)) return nb::cast<std::string>(given);
  nb::object class_name = nb::none();
  nb::object config = nb::none();
  if (nb::isinstance<nb::dict>(given)) {
    class_name = given.attr("get")("class_name");
    config = given.attr("get")("config", nb::dict());
  } else if (nb::hasattr(given, "get_config")) {
    class_name = given.type().attr("__name__");
    config = given.attr("get_config")();
  }
  if (!nb::isinstance<nb::str>(class_name) || !nb::isinstance<nb::dict>(config))
    refuse_type("initializer", given, R"(a str, {"class_name": ..., "config": {...}}, an object of keras.initializers)");
  Initializer made(nb::cast<std::string>(class_name));
  for (const auto& [key, value] : nb::cast<nb::dict>(config)) {
    if (!value.is_none()) set_parameter(made, nb::cast<std::string>(nb::str(key)), value);
  }
  return made;
}

}  // namespace lamella::python
