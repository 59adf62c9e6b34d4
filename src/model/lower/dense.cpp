// SPDX-License-Identifier: Apache-2.0
// Dense becomes a product without activation, then the activation as a step of its own.
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {

int Lowering::product(const core::LayerSpec& spec, const core::DenseParams& params, int src,
                      const ConstantsPool::Values& constants) {
  const Shape sample = at(src).sample;
  const DType dtype = compute(spec);
  const ops::DenseDesc desc{.batch = sample.elements(0, sample.rank() - 1),
                            .inputs = sample.back(),
                            .units = params.units,
                            .has_bias = params.use_bias,
                            .activation = {},
                            .dtype = dtype,
                            .math = options_.math,
                            .fusion = options_.fusion,
                            .determinism = options_.determinism};
  return add_step(desc, {src}, sample.with(-1, params.units), dtype, spec.path, constants);
}

int Lowering::lower(const core::LayerSpec& spec, const core::DenseParams& params, const std::vector<int>& srcs) {
  const int src = in_compute(spec, srcs);
  const Shape sample = at(src).sample;
  LAMELLA_EXPECTS(sample.rank() >= 1, shape, "layer '{}': expected min_ndim=2, found ndim=1", core::escaped(spec.path));
  if (params.use_bias) expect_weight(spec, "bias", {params.units});
  int result = 0;
  if (params.quantization) {
    result = quantized_dense(spec, params, src);
  } else {
    expect_weight(spec, "kernel", {sample.back(), params.units});
    ConstantsPool::Values constants{weight(spec, "kernel")};
    if (params.use_bias) constants.push_back(weight(spec, "bias"));
    result = product(spec, params, src, constants);
  }
  if (params.activation_layer) return layer(*params.activation_layer, {result}).at(0);
  return activation(spec.path, params.activation, {}, result);
}

}  // namespace lamella::model
