// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/engines.hpp"
#include "cuda/steps.hpp"
#include "kernels/dequantized_mma.hpp"
#include "ops/quantized_dense.hpp"

namespace lamella::cuda {

/// Weights stay packed on the device.
PlanPtr plan(const ops::QuantizedDenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const ops::QuantizedConstants at(d);
  const auto numbers = [&](bool has, std::size_t i) {
    return has ? constant_on_device(constants, i, d.dtype, compute_type(d.dtype), context) : nullptr;
  };
  const auto weights = integers_on_device(constants, d, context);
  const auto group = d.groups > 0 ? groups_on_device(constants, d, context) : nullptr;
  const auto scale = numbers(true, at.scale);
  const auto zero = numbers(d.groups > 0, at.zero);
  const auto input_scale = numbers(d.has_input_scale, at.input_scale);
  const auto bias = numbers(d.has_bias, at.bias);
  kernels::QuantizedDense args{.activation = d.activation,
                               .dtype = d.dtype,
                               .int4 = d.format == ops::WeightFormat::int4,
                               .quantizes = d.quantizes,
                               .low = d.low,
                               .high = d.high,
                               .epsilon = d.epsilon,
                               .batch = d.batch,
                               .inputs = d.inputs,
                               .units = d.units,
                               .groups = d.groups};
  const std::size_t workspace = kernels::quantized_dense_workspace(args);
  const bool overlaps = device_of(context).overlaps;
  const bool mma = !d.quantizes && is_narrow(d.dtype) && device_of(context).architecture >= kernels::kMmaArchitecture;
  const auto run = [args, weights, scale, zero, group, input_scale, bias, overlaps, mma, device = context.device_index](
                       CudaStream& stream, const ops::Args& now) {
    kernels::QuantizedDense product = args;
    product.overlap = overlap_of(overlaps, now);
    product.src = now.srcs[0];
    product.dst = now.dst;
    product.workspace = now.workspace;
    product.weights = weights.get();
    product.scale = scale.get();
    product.zero = zero.get();
    product.group = group.get();
    product.input_scale = input_scale.get();
    product.bias = bias.get();
    check(mma ? kernels::dequantized_mma(product, handle_of(stream)) : kernels::quantized_dense(product, handle_of(stream)),
          device, "quantized_dense kernel");
  };
  return make_plan(run, workspace, overlaps && d.batch > 0 && d.units > 0);
}

PlanPtr plan(const ops::QuantizeDequantizeDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  return make_plan([d, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    check(kernels::through_float8(d.dtype, args.srcs[0], args.dst, d.elements, d.scale, handle_of(stream)), device,
          "through_float8 kernel");
  });
}

}  // namespace lamella::cuda
