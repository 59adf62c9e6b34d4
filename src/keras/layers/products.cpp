// SPDX-License-Identifier: Apache-2.0
// Products other than Dense, and wrappers.
#include <algorithm>

#include "keras/layers/parsers.hpp"

namespace lamella::keras {
namespace {

using Ellipsis = core::EinsumDenseParams::Ellipsis;

/// Removes "..." from the given side of a term.
bool take_ellipsis(std::string& term, Ellipsis side) {
  constexpr std::string_view kDots = "...";
  if (side == Ellipsis::left ? !term.starts_with(kDots) : !term.ends_with(kDots)) return false;
  term.erase(side == Ellipsis::left ? 0 : term.size() - kDots.size(), kDots.size());
  return true;
}

bool is_term(const std::string& term) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  std::string sorted = term;
  std::sort(sorted.begin(), sorted.end());
  return !term.empty() && std::all_of(term.begin(), term.end(), letter) &&
         std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
}

/// The labels of "abc,cd->abd". Whether they form a product is checked when shapes are known.
core::EinsumDenseParams equation_of(const Fields& f) {
  const std::string text = f.string("equation", "");
  const std::size_t comma = text.find(',');
  const std::size_t arrow = text.find("->");
  core::EinsumDenseParams params;
  bool fits = comma != std::string::npos && arrow != std::string::npos && comma < arrow;
  if (fits) {
    params.input = text.substr(0, comma);
    params.kernel = text.substr(comma + 1, arrow - comma - 1);
    params.output = text.substr(arrow + 2);
    for (const Ellipsis side : {Ellipsis::left, Ellipsis::right}) {
      if (!take_ellipsis(params.input, side)) continue;
      params.ellipsis = side;
      fits = take_ellipsis(params.output, side);
      break;
    }
    fits = fits && is_term(params.input) && is_term(params.kernel) && is_term(params.output);
  }
  if (!fits) {
    f.fail_field(ErrorCode::value, "equation",
                 "got '{}', allowed X,Y->Z, ...X,Y->...Z and X...,Y->Z... of letters, each once in a term", core::escaped(text));
  }
  return params;
}

core::LayerParams parse_einsum_dense(const Fields& f, const std::string& path, Reading& reading) {
  f.expect_only({"equation", "output_shape", "activation", "bias_axes"}, kKernelKeys);
  if (f.has("quantization_config"))
    f.fail_field(ErrorCode::unsupported, "quantization_config", "is set; quantized layers are not supported");
  core::EinsumDenseParams params = equation_of(f);
  params.use_bias = f.has("bias_axes") && !f.string("bias_axes", "").empty();
  const ParsedActivation activation = read_activation(f, path, reading);
  params.activation = activation.spec;
  params.activation_layer = activation.layer;
  return params;
}

core::LayerParams parse_dot(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"axes", "normalize"});
  core::DotParams params{f.axes("axes", {}), f.boolean("normalize", false), reading.keras2 ? 1e-6 : 1e-7};
  if (params.axes.size() == 1) params.axes.push_back(params.axes[0]);
  if (params.axes.size() != 2)
    f.fail_field(ErrorCode::value, "axes", "has {} entries, allowed an integer or 2", params.axes.size());
  return params;
}

core::LayerParams parse_time_distributed(const Fields& f, const std::string& path, Reading& reading) {
  f.expect_only({"layer"});
  const Json& object = f.at("layer");
  if (!object.is_object() || !object.contains("config")) f.fail_field(ErrorCode::json, "layer", "is not a serialized layer");
  const Json& config = object.at("config");
  const std::string name = config.is_object() ? config.value("name", std::string("layer")) : std::string("layer");
  const auto inner = read_any(object, path + "/" + name, reading);
  if (std::holds_alternative<core::InputParams>(inner->params))
    f.fail_field(ErrorCode::value, "layer", "is an InputLayer, which computes nothing");
  if (!inner->policy.quantization.empty()) {
    f.fail_field(ErrorCode::unsupported, "layer",
                 "is a quantized Dense, whose scales Keras does not save inside TimeDistributed; call the Dense without "
                 "TimeDistributed, or wrap it in a model");
  }
  if (const auto* model = core::nested_model(*inner);
      model != nullptr && (model->inputs.size() != 1 || model->outputs.size() != 1)) {
    f.fail_field(ErrorCode::unsupported, "layer", "is a model of {} inputs and {} outputs, allowed one of each",
                 model->inputs.size(), model->outputs.size());
  }
  return core::TimeDistributedParams{inner};
}

}  // namespace

std::span<const LayerClass> product_layers() {
  static constexpr LayerClass rows[] = {
      // Floating-point inputs. Two inputs.
      {"Dot", parse_dot},

      // `...` at one end; the batch is the first axis, and each letter is in two terms. Quantized (`quantization_config`) is
      // refused; `activation` as for Dense.
      {"EinsumDense", parse_einsum_dense},

      // The inner `layer` is a layer or a model of one input and one output; not a quantized Dense itself; of the same dtype.
      {"TimeDistributed", parse_time_distributed},
  };
  return rows;
}

}  // namespace lamella::keras
