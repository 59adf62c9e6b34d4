// SPDX-License-Identifier: Apache-2.0
#include "keras/quantized.hpp"

#include <algorithm>
#include <array>

#include "core/number.hpp"

namespace lamella::keras {
namespace {

using core::Quantization;
using core::QuantizationMode;

constexpr std::int64_t kLargestGroup = 2147483647;

std::vector<std::string> parts_of(const std::string& mode) {
  std::vector<std::string> parts(1);
  for (const char c : mode) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// One of the numbers in "gptq/4/128".
std::int64_t number_of(const std::string& mode, const std::string& part, const Fields& fields) {
  const std::int64_t number = core::number_in<std::int64_t>(part).value_or(0);
  if (number < -1 || number == 0 || number > kLargestGroup) {
    fields.fail_field(ErrorCode::value, "dtype", "got the mode '{}', allowed group sizes -1 and 1..{}", core::escaped(mode, 64),
                      kLargestGroup);
  }
  return number;
}

Quantization mode_of(const std::string& mode, const Fields& fields, const Reading& reading) {
  const std::vector<std::string> parts = parts_of(mode);
  const auto number = [&](std::size_t i) { return number_of(mode, parts[i], fields); };
  if (mode == "int8") return {.mode = QuantizationMode::int8, .bits = 8};
  if (mode == "float8") return {.mode = QuantizationMode::float8};
  if (mode == "int4") return {.mode = QuantizationMode::int4, .bits = 4, .packed_axis = older_than(reading, 3, 14) ? 0 : 1};
  if (mode == "int4/None") return {.mode = QuantizationMode::int4, .bits = 4};
  if (parts[0] == "int4" && parts.size() == 2) return {.mode = QuantizationMode::int4, .bits = 4, .group_size = number(1)};
  if ((parts[0] == "gptq" || parts[0] == "awq") && parts.size() == 3) {
    const bool gptq = parts[0] == "gptq";
    const std::int64_t bits = number(1);
    const bool known = bits == 4 || (gptq && (bits == 2 || bits == 3 || bits == 8));
    if (!known) {
      fields.fail_field(ErrorCode::value, "dtype", "got the mode '{}' with weights of {} bits, allowed {}",
                        core::escaped(mode, 64), bits, gptq ? "2, 3, 4, 8" : "4");
    }
    return {
        .mode = gptq ? QuantizationMode::gptq : QuantizationMode::awq, .bits = static_cast<int>(bits), .group_size = number(2)};
  }
  fields.fail_field(ErrorCode::unsupported, "dtype",
                    "got the quantization mode '{}', allowed int8, int4, int4/GROUP, float8, gptq/BITS/GROUP, awq/4/GROUP",
                    core::escaped(mode, 64));
}

/// The `config` of a serialized object; null when there is none.
const Json& config_in(const Json& object, const char* what, const Fields& fields) {
  if (!object.is_object() || !object.contains("config") || !object.at("config").is_object())
    fields.fail_field(ErrorCode::value, "quantization_config", "{} is not a serialized object", what);
  return object.at("config");
}

core::ActivationQuantizer read_quantizer(const Json& object, const Fields& fields, const Reading& reading) {
  const Json& config = config_in(object, "activation_quantizer", fields);
  const Fields quantizer(config, reading, fields.layer());
  const auto fail = [&](ErrorCode code, const std::string& why) {
    fields.fail_field(code, "quantization_config", "activation_quantizer {}", why);
  };
  const std::string class_name = object.value("class_name", std::string());
  if (class_name != "AbsMaxQuantizer")
    fail(ErrorCode::unsupported, core::format("is a {}, allowed AbsMaxQuantizer", core::escaped(class_name, 64)));
  const std::string type = quantizer.string("output_dtype", "int8");
  if (type != "int8") fail(ErrorCode::unsupported, core::format("makes {}, allowed int8", core::escaped(type, 64)));
  core::ActivationQuantizer result;
  result.epsilon = quantizer.number("epsilon", result.epsilon);
  const std::vector<int> range = quantizer.axes("value_range", {result.low, result.high});
  if (range.size() != 2 || range[0] < -128 || range[1] > 127 || range[0] > range[1])
    fail(ErrorCode::value, "has a value_range that is not two integers from -128 to 127");
  result.low = range[0];
  result.high = range[1];
  return result;
}

/// Without an entry in the config a layer has Keras' default quantizer; null means none.
std::optional<core::ActivationQuantizer> read_activations(bool by_default, const Fields& fields, const Reading& reading) {
  if (!fields.has("quantization_config")) return by_default ? std::optional(core::ActivationQuantizer{}) : std::nullopt;
  const Json& config = config_in(fields.at("quantization_config"), "it", fields);
  const auto quantizer = config.find("activation_quantizer");
  if (quantizer == config.end() || quantizer->is_null()) return std::nullopt;
  return read_quantizer(*quantizer, fields, reading);
}

const Quantization& quantization_of(const core::DenseParams& params) { return *params.quantization; }

bool transposed(const Quantization& q) { return q.mode == QuantizationMode::gptq || q.mode == QuantizationMode::awq; }

ExpectedWeight expected_kernel(const core::DenseParams& params) {
  const Quantization& q = quantization_of(params);
  const std::int64_t packed = (params.units + 1) / 2;
  if (transposed(q)) return {{q.bits == 4 ? packed : params.units, -1}, {DType::uint8}};
  if (q.mode == QuantizationMode::float8) return {{-1, params.units}, {}};
  return {{-1, q.bits == 4 && q.packed_axis == 1 ? packed : params.units}, {DType::int8}};
}

ExpectedWeight expected_scale(const core::DenseParams& params) {
  const Quantization& q = quantization_of(params);
  if (q.mode == QuantizationMode::float8) return {{}, {}};
  if (transposed(q)) return {{params.units, -1}, {}};
  if (q.group_size > 0) return {{-1, params.units}, {}};
  return {{params.units}, {}};
}

}  // namespace

std::optional<core::Quantization> read_quantization(const Fields& fields, const Reading& reading) {
  const core::Policy policy = read_policy(fields.has("dtype") ? &fields.at("dtype") : nullptr, fields);
  if (policy.quantization.empty()) return std::nullopt;
  Quantization q = mode_of(policy.quantization, fields, reading);
  if (q.mode == QuantizationMode::int8 && policy.compute == DType::float16)
    fields.fail_field(ErrorCode::unsupported, "dtype", "is int8 with compute dtype float16, which Keras refuses");
  if (q.mode == QuantizationMode::int8) q.activations = read_activations(true, fields, reading);
  if (q.mode == QuantizationMode::int4 && q.group_size < 0) q.activations = read_activations(q.packed_axis == 0, fields, reading);
  if (q.mode == QuantizationMode::gptq && fields.has("quantization_config")) {
    const Fields config(config_in(fields.at("quantization_config"), "it", fields), reading, fields.layer());
    q.symmetric = config.boolean("symmetric", false);
  }
  return q;
}

std::vector<StoredWeight> dense_weights(const core::DenseParams& params) {
  // Training does not change kernels that are stored as integers.
  const bool floats = !params.quantization || params.quantization->mode == QuantizationMode::float8;
  const auto with_bias = [&](std::initializer_list<std::string_view> names, std::ptrdiff_t at) {
    std::vector<StoredWeight> weights;
    for (const std::string_view name : names) weights.push_back({name, floats});
    if (params.use_bias) weights.insert(weights.begin() + at, {"bias", true});
    return weights;
  };
  if (!params.quantization) return with_bias({"kernel"}, 1);
  const Quantization& q = quantization_of(params);
  switch (q.mode) {
    case QuantizationMode::int8:
      return with_bias({"kernel", "kernel_scale"}, 1);
    case QuantizationMode::int4:
      if (q.group_size < 0) return with_bias({"kernel", "kernel_scale"}, 1);
      return with_bias({"kernel", "kernel_scale", "kernel_zero", "g_idx"}, 1);
    case QuantizationMode::float8:
      return with_bias({"kernel", "inputs_scale", "inputs_amax_history", "kernel_scale", "kernel_amax_history",
                        "outputs_grad_scale", "outputs_grad_amax_history"},
                       1);
    case QuantizationMode::gptq:
      return with_bias({"quantized_kernel", "kernel_scale", "kernel_zero", "g_idx"}, 0);
    case QuantizationMode::awq:
      return with_bias({"quantized_kernel", "kernel_scale", "kernel_zero", "awq_scales", "g_idx"}, 0);
  }
  LAMELLA_ASSERT(false, "not a QuantizationMode");
}

ExpectedWeight expected_of(const core::DenseParams& params, std::string_view weight) {
  if (weight == "bias") return {{params.units}, {}};
  if (!params.quantization) return {{-1, params.units}, {}};
  const Quantization& q = quantization_of(params);
  if (weight == "kernel" || weight == "quantized_kernel") return expected_kernel(params);
  if (weight == "kernel_scale") return expected_scale(params);
  if (weight == "kernel_zero") return {expected_scale(params).shape, {transposed(q) ? DType::uint8 : DType::int8}};
  if (weight == "g_idx") return {{-1}, {DType::float32, DType::int32}};
  if (weight == "inputs_scale" || weight == "outputs_grad_scale") return {{}, {}};
  return {{-1}, {}};
}

void forget_lost_zeros(const core::LayerSpec& layer, std::vector<StoredWeight>& wanted, std::size_t found, const Where& where) {
  const auto* dense = std::get_if<core::DenseParams>(&layer.params);
  if (dense == nullptr || !dense->quantization || !transposed(*dense->quantization) || found + 1 != wanted.size()) return;
  if (!dense->quantization->symmetric) {
    where.layer(layer.path)
        .fail_sentence(ErrorCode::unsupported,
                       "has no kernel_zero: Keras 3.14 and 3.15 do not store the zero points of gptq and awq in a .keras file, "
                       "so they are lost; .h5 files have them");
  }
  std::erase_if(wanted, [](const StoredWeight& weight) { return weight.name == "kernel_zero"; });
}

}  // namespace lamella::keras
