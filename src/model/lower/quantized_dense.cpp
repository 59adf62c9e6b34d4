// SPDX-License-Identifier: Apache-2.0
// Converts the weights of quantized Dense layers from Keras' various formats to that of ops::QuantizedDenseDesc.
#include <cmath>

#include "core/float8.hpp"
#include "core/visit_dtype.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {
namespace {

using core::Quantization;
using core::QuantizationMode;

[[noreturn]] void fail(ErrorCode code, const core::LayerSpec& spec, const std::string& what) {
  core::throw_argument(code, core::format("layer '{}': {}", core::escaped(spec.path), what));
}

/// gptq and awq store (units, inputs), unsigned.
bool stored_by_unit(const Quantization& q) { return q.mode == QuantizationMode::gptq || q.mode == QuantizationMode::awq; }
const char* kernel_name(const Quantization& q) { return stored_by_unit(q) ? "quantized_kernel" : "kernel"; }
/// The zero of an unsigned type; weights of two and three bits are stored as int4.
int middle(const Quantization& q) { return q.bits == 8 ? 128 : 8; }

/// The weights as they are stored.
struct Stored {
  const core::LayerSpec& spec;
  const Quantization& quantization;
  const std::uint8_t* bytes;
  std::int64_t inputs;
  std::int64_t units;

  /// As an integer from -8 to 7, or from -128 to 127.
  [[nodiscard]] int at(std::int64_t input, std::int64_t unit) const {
    if (!stored_by_unit(quantization)) {  // int4 packed along the inputs
      const unsigned byte = bytes[input / 2 * units + unit];
      return static_cast<int>(((input % 2 == 0 ? byte : byte >> 4U) & 15U) ^ 8U) - 8;
    }
    if (quantization.bits == 4) {
      const unsigned byte = bytes[unit / 2 * inputs + input];
      return static_cast<int>((unit % 2 == 0 ? byte : byte >> 4U) & 15U) - 8;
    }
    const int value = bytes[unit * inputs + input];
    if (quantization.bits < 8 && value >= 1 << quantization.bits)
      fail(ErrorCode::value, spec, core::format("a weight of {} bits is {}", quantization.bits, value));
    return value - middle(quantization);
  }
};

Tensor packed(const Stored& stored) {
  const bool wide = stored.quantization.bits == 8;
  const std::int64_t row = wide ? stored.units : (stored.units + 1) / 2;
  Tensor result = Tensor::zeros({stored.inputs, row}, DType::int8);
  auto* to = static_cast<std::uint8_t*>(result.data());
  for (std::int64_t i = 0; i < stored.inputs; ++i, to += row) {
    for (std::int64_t u = 0; u < stored.units; ++u) {
      const auto value = static_cast<unsigned>(stored.at(i, u));
      if (wide) {
        to[u] = static_cast<std::uint8_t>(value);
      } else {
        to[u / 2] = static_cast<std::uint8_t>(to[u / 2] | ((value & 15U) << (u % 2 == 0 ? 0U : 4U)));
      }
    }
  }
  return result;
}

/// Values of (units, groups) as (groups, units) of `dtype`, less `shift`.
Tensor by_group(const Tensor& values, int shift, DType dtype) {
  const std::vector<double> from = numbers(values);
  const std::int64_t units = values.shape()[0];
  const std::int64_t groups = values.shape()[1];
  std::vector<double> to(from.size());
  for (std::int64_t u = 0; u < units; ++u) {
    for (std::int64_t g = 0; g < groups; ++g)
      to[static_cast<std::size_t>(g * units + u)] = from[static_cast<std::size_t>(u * groups + g)] - shift;
  }
  return Tensor::of<double>(to, {groups, units}).to(dtype);
}

/// g_idx is stored in float32, and Keras truncates fractions.
Tensor groups_of_inputs(const core::LayerSpec& spec, const Tensor& g_idx, std::int64_t groups) {
  Tensor result(g_idx.shape(), DType::int32);
  const std::vector<double> from = numbers(g_idx);
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!(from[i] > -1 && from[i] < static_cast<double>(groups)))
      fail(ErrorCode::value, spec, core::format("g_idx of input {} is {:g}, allowed 0..{}", i, from[i], groups - 1));
    result.span<std::int32_t>()[i] = static_cast<std::int32_t>(from[i]);
  }
  return result;
}

/// x rounded to a floating dtype.
double rounded_float(double x, DType dtype) {
  double result = x;
  core::visit_dtype(dtype, [&](auto type) {
    using T = decltype(type);
    if constexpr (std::is_same_v<T, float>) {
      result = static_cast<double>(static_cast<float>(x));
    } else if constexpr (!std::is_same_v<T, double> && !std::is_integral_v<T>) {
      result = static_cast<double>(static_cast<float>(T(static_cast<float>(x))));
    }
  });
  return result;
}

void expect_quantized_shapes(const core::LayerSpec& spec, const core::DenseParams& params, std::int64_t inputs) {
  const Quantization& q = *params.quantization;
  const std::int64_t units = params.units;
  const std::int64_t groups = q.group_size < 0 ? 1 : (inputs + q.group_size - 1) / q.group_size;
  const auto half = [](std::int64_t n) { return (n + 1) / 2; };
  if (stored_by_unit(q)) {
    expect_weight(spec, "quantized_kernel", {q.bits == 4 ? half(units) : units, inputs});
    expect_weight(spec, "kernel_scale", {units, groups});
    if (has_weight(spec, "kernel_zero")) expect_weight(spec, "kernel_zero", {units, groups});
  } else if (q.mode == QuantizationMode::int4) {
    expect_weight(spec, "kernel", q.packed_axis == 0 ? Shape{half(inputs), units} : Shape{inputs, half(units)});
  } else {
    expect_weight(spec, "kernel", {inputs, units});
  }
  if (q.mode == QuantizationMode::int4 && q.group_size > 0) {
    expect_weight(spec, "kernel_scale", {groups, units});
    expect_weight(spec, "kernel_zero", {groups, units});
  }
  if (has_weight(spec, "g_idx")) expect_weight(spec, "g_idx", {inputs});
  if (has_weight(spec, "awq_scales")) expect_weight(spec, "awq_scales", {inputs});
}

}  // namespace

std::shared_ptr<const Tensor> Lowering::packed_kernel(const core::LayerSpec& spec, const Quantization& q,
                                                      const ops::QuantizedDenseDesc& desc) {
  const auto& kernel = weight(spec, kernel_name(q));
  if (!stored_by_unit(q) && !(q.mode == QuantizationMode::int4 && q.packed_axis == 0)) return kernel;
  const Stored stored{spec, q, static_cast<const std::uint8_t*>(kernel->data()), desc.inputs, desc.units};
  return computed({.what = Recipe::What::packed,
                   .dtype = DType::int8,
                   .sources = {kernel},
                   .sample = {static_cast<std::int64_t>(q.mode), q.bits, desc.inputs, desc.units}},
                  [&] { return packed(stored); });
}

std::shared_ptr<const Tensor> Lowering::grouped(const std::shared_ptr<const Tensor>& values, int shift, DType dtype) {
  return computed({.what = Recipe::What::by_group, .dtype = dtype, .sources = {values}, .sample = {shift}},
                  [&] { return by_group(*values, shift, dtype); });
}

/// Zero points in the shape of `scales`, (groups, units).
std::shared_ptr<const Tensor> Lowering::zero_points(const core::LayerSpec& spec, const Quantization& q,
                                                    const std::shared_ptr<const Tensor>& scales) {
  const int shift = stored_by_unit(q) ? middle(q) : 0;
  if (has_weight(spec, "kernel_zero")) {
    const auto& zero = weight(spec, "kernel_zero");
    if (stored_by_unit(q)) return grouped(zero, shift, DType::float32);
    return computed({.what = Recipe::What::by_group, .dtype = DType::float32, .sources = {zero}},
                    [&] { return zero->to(DType::float32); });
  }
  const int number = (1 << (q.bits - 1)) - shift;
  return computed({.what = Recipe::What::constant_zeros, .sources = {scales}, .sample = {number}}, [&] {
    const std::vector<double> zeros(static_cast<std::size_t>(scales->shape().elements()), number);
    return Tensor::of<double>(zeros, scales->shape()).to(DType::float32);
  });
}

int Lowering::quantized_dense(const core::LayerSpec& spec, const core::DenseParams& params, int src) {
  const Quantization& q = *params.quantization;
  const Shape sample = at(src).sample;
  const DType dtype = compute(spec);
  expect_quantized_shapes(spec, params, sample.back());
  if (q.mode == QuantizationMode::float8) return float8_dense(spec, params, src);
  if (q.mode == QuantizationMode::int8 && dtype == DType::float16)
    fail(ErrorCode::unsupported, spec, "int8 cannot be computed in float16; Keras refuses it as well");
  ops::QuantizedDenseDesc desc{.batch = sample.elements(0, sample.rank() - 1),
                               .inputs = sample.back(),
                               .units = params.units,
                               .format = q.bits == 8 ? ops::WeightFormat::int8 : ops::WeightFormat::int4,
                               .has_input_scale = q.mode == QuantizationMode::awq,
                               .has_bias = params.use_bias,
                               .activation = {},
                               .dtype = dtype};
  if (q.activations) {
    desc.quantizes = true;
    desc.low = q.activations->low;
    desc.high = q.activations->high;
    desc.epsilon = q.activations->epsilon;
  }
  ConstantsPool::Values constants{packed_kernel(spec, q, desc)};
  const auto& scale = weight(spec, "kernel_scale");
  constants.push_back(stored_by_unit(q) ? grouped(scale, 0, scale->dtype()) : scale);
  if (stored_by_unit(q) || q.group_size > 0) {
    desc.groups = scale->shape()[stored_by_unit(q) ? 1 : 0];
    constants.push_back(zero_points(spec, q, constants.back()));
    const auto& g_idx = weight(spec, "g_idx");
    constants.push_back(computed({.what = Recipe::What::groups, .sources = {g_idx}, .sample = {desc.groups}},
                                 [&] { return groups_of_inputs(spec, *g_idx, desc.groups); }));
  }
  if (desc.has_input_scale) constants.push_back(weight(spec, "awq_scales"));
  if (desc.has_bias) constants.push_back(weight(spec, "bias"));
  return add_step(desc, {src}, sample.with(-1, params.units), dtype, spec.path, constants);
}

/// x and the kernel are rounded through float8, then multiplied as in any Dense.
int Lowering::float8_dense(const core::LayerSpec& spec, const core::DenseParams& params, int src) {
  const Value from = at(src);
  const DType dtype = compute(spec);
  const auto scale_of = [&](const char* name) { return rounded_float(numbers(*weight(spec, name)).at(0), dtype); };
  const ops::QuantizeDequantizeDesc desc{from.sample.elements(), static_cast<float>(scale_of("inputs_scale")), dtype};
  const int x = add_step(desc, {src}, from.sample, dtype, spec.path);
  const auto& kernel = weight(spec, "kernel");
  const double scale = scale_of("kernel_scale");
  const auto through = [&] {
    std::vector<double> values = numbers(kernel->to(dtype));
    for (double& v : values) v = core::through_e4m3(v, scale, [&](double z) { return rounded_float(z, dtype); });
    return Tensor::of<double>(values, kernel->shape()).to(dtype);
  };
  ConstantsPool::Values constants{computed(
      {.what = Recipe::What::through_float8, .dtype = dtype, .sources = {kernel}, .numbers = bits_of({{scale}})}, through)};
  if (params.use_bias) {
    const auto& bias = weight(spec, "bias");
    // Keras rounds the bias of a float32 layer to bfloat16, so that libraries recognise a float8 product with bias.
    constants.push_back(dtype != DType::float32 ? bias
                                                : computed({.what = Recipe::What::through_bfloat16, .sources = {bias}},
                                                           [&] { return bias->to(DType::bfloat16).to(DType::float32); }));
  }
  return product(spec, params, x, constants);
}

}  // namespace lamella::model
