// SPDX-License-Identifier: Apache-2.0
// Arguments of layers as parts of their Keras configs.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <lamella/layers.hpp>

#include "keras/activation_config.hpp"
#include "model/builders/state.hpp"

namespace lamella::model {

template <typename Options>
[[nodiscard]] Config base_config(const Options& options) {
  return {{"trainable", options.trainable}, {"dtype", policy_config(options.dtype)}};
}

template <typename T>
[[nodiscard]] Config list_or_one(const OneOrMany<T>& value) {
  return value.values.size() == 1 && !value.list ? Config(value.values[0]) : Config(value.values);
}

template <typename T>
[[nodiscard]] Config or_null(const std::optional<T>& value) {
  return value ? Config(*value) : Config();
}

/// -1 as None; an empty shape as None too.
[[nodiscard]] inline Config shape_or_null(const std::vector<std::int64_t>& shape) {
  Config config;
  for (const std::int64_t extent : shape) config.push_back(extent == -1 ? Config() : Config(extent));
  return config;
}

/// A regularizer or constraint: a name, the JSON of an object, or nothing.
[[nodiscard]] inline Config object_or_null(const char* where, const std::string& text) {
  if (text.empty()) return {};
  if (text.front() != '{') return text;
  Config object = Config::parse(text, nullptr, false);
  LAMELLA_EXPECTS(object.is_object() && object.contains("class_name"), value,
                  "[{}] got '{}', allowed a name or a JSON object with a class_name", where, core::escaped(text));
  return object;
}

[[nodiscard]] inline Config initializer_config(const char* where, const Initializer& initializer) {
  Config object = Config::parse(initializer.config_json(), nullptr, false);
  LAMELLA_EXPECTS(object.is_object(), value, "[{}] initializer {} holds a number that is not finite", where,
                  initializer.class_name);
  return object;
}

/// A layer, or Keras' own name of an activation: "silu" for "swish"; with parameters as keras::activation_config().
[[nodiscard]] inline Config activation_config(const char* where, const ActivationArgument& argument, const std::string& policy) {
  if (argument.layer) return object_of(*Access::state(*argument.layer), argument.layer->name());
  if (argument.spec) {
    LAMELLA_EXPECTS(
        argument.spec->kind != ActivationKind::HardSigmoidKeras2, value,
        "[{}] activation: got 'hard_sigmoid_keras2'; allowed 'hard_sigmoid': Options::hard_sigmoid chooses its formula", where);
    try {
      return Config::parse(keras::activation_config(*argument.spec, policy));
    } catch (const ArgumentError& error) {
      core::throw_argument(error.code(), core::format("[{}] {}", where, core::without_code(error.what())));
    }
  }
  const auto known = activation_names();
  const ActivationSpec spec = activation_of(argument.name);  // throws for an unknown name
  LAMELLA_EXPECTS(std::find(known.begin(), known.end(), argument.name) != known.end(), value,
                  "[{}] activation: got '{}', which is not a name of keras.activations", where, core::escaped(argument.name));
  return to_string(spec.kind);
}

template <typename Options>
[[nodiscard]] Config with(const Options& options, const Config& own) {
  Config config = base_config(options);
  config.update(own);
  return config;
}

}  // namespace lamella::model
