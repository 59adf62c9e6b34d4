// SPDX-License-Identifier: Apache-2.0
// Products other than Dense, and layers applied step by step.
#include <algorithm>
#include <numeric>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {
namespace {

/// An einsum as a matrix product: the input's axes that are kept, those that are summed over, and those that come from the
/// kernel.
struct Contraction {
  std::vector<int> input;   ///< axes of the sample: kept ones, then those summed over
  std::vector<int> kernel;  ///< axes of the kernel: those summed over, then new ones
  std::vector<int> output;  ///< for each axis of the output's sample, its index among the kept axes followed by the new ones
  int kept = 0;
  int summed = 0;
};

/// Labels of all axes; those covered by "..." get numbers.
std::string with_ellipsis(const std::string& term, core::EinsumDenseParams::Ellipsis side, int count) {
  using Ellipsis = core::EinsumDenseParams::Ellipsis;
  std::string elided(static_cast<std::size_t>(count), '\0');
  std::iota(elided.begin(), elided.end(), '\1');
  return side == Ellipsis::left ? elided + term : term + elided;
}

Contraction contraction_of(const core::LayerSpec& spec, const core::EinsumDenseParams& params, const Shape& sample) {
  const auto refuse = [&](const std::string& why) {
    core::throw_argument(ErrorCode::unsupported, core::format("layer '{}' equation: in {},{}->{} {}", core::escaped(spec.path),
                                                              params.input, params.kernel, params.output, why));
  };
  const int elided = sample.rank() + 1 - static_cast<int>(params.input.size());
  LAMELLA_EXPECTS(params.ellipsis == core::EinsumDenseParams::Ellipsis::none ? elided == 0 : elided >= 0, shape,
                  "layer '{}' equation: {} does not name the {} axes of its input", core::escaped(spec.path), params.input,
                  sample.rank() + 1);
  const std::string input = with_ellipsis(params.input, params.ellipsis, elided);
  const std::string output = with_ellipsis(params.output, params.ellipsis, elided);
  const auto has = [](const std::string& term, char label) { return term.find(label) != std::string::npos; };
  const auto at = [](const std::string& term, char label) { return static_cast<int>(term.find(label)); };
  if (input[0] != output[0] || has(params.kernel, input[0]))
    refuse("the batch is not the first axis; lamella computes each sample on its own");
  for (const char label : input.substr(1)) {
    if (has(params.kernel, label) == has(output, label))
      refuse(core::format("'{}{}", label, has(output, label) ? "' is in all three terms" : "' is in the input alone"));
  }
  Contraction c;
  std::string made;
  for (const char label : output.substr(1)) {
    if (has(input, label)) {
      c.input.push_back(at(input, label) - 1);
    } else if (has(params.kernel, label)) {
      made += label;
    } else {
      refuse(core::format("'{}' is in the output alone", label));
    }
  }
  c.kept = static_cast<int>(c.input.size());
  for (const char label : params.kernel) {
    if (has(input, label)) {
      c.input.push_back(at(input, label) - 1);
      c.kernel.push_back(at(params.kernel, label));
    } else if (!has(output, label)) {
      refuse(core::format("'{}' is in the kernel alone", label));
    }
  }
  c.summed = static_cast<int>(c.kernel.size());
  for (const char label : made) c.kernel.push_back(at(params.kernel, label));
  int kept = 0;
  int count = 0;
  for (const char label : output.substr(1)) c.output.push_back(has(input, label) ? kept++ : c.kept + count++);
  return c;
}

/// The elements of `tensor`, with its axes permuted, as a matrix.
Tensor arranged(const std::shared_ptr<const Tensor>& tensor, const std::vector<int>& order, const Shape& matrix) {
  if (std::is_sorted(order.begin(), order.end())) {
    // Read-only by convention: constants are handed out as const only.
    return Tensor::adopt(const_cast<void*>(tensor->data()), matrix, tensor->dtype(), tensor->device(),
                         std::const_pointer_cast<Tensor>(tensor));
  }
  const Shape from = tensor->shape();
  const std::size_t width = size_of(tensor->dtype());
  Tensor result(matrix, tensor->dtype());
  for (std::int64_t i = 0; i < matrix.elements(); ++i) {
    std::int64_t rest = i;
    std::int64_t source = 0;
    for (std::size_t k = order.size(); k-- > 0;) {
      const std::int64_t extent = from[order[k]];
      source += rest % extent * from.elements(order[k] + 1, from.rank());
      rest /= extent;
    }
    std::copy_n(static_cast<const std::byte*>(tensor->data()) + static_cast<std::size_t>(source) * width, width,
                static_cast<std::byte*>(result.data()) + static_cast<std::size_t>(i) * width);
  }
  return result;
}

}  // namespace

int Lowering::lower(const core::LayerSpec& spec, const core::EinsumDenseParams& params, const std::vector<int>& srcs) {
  const int src = in_compute(spec, srcs);
  const Contraction c = contraction_of(spec, params, at(src).sample);
  const std::shared_ptr<const Tensor>& kernel = weight(spec, "kernel");
  LAMELLA_EXPECTS(kernel->shape().rank() == static_cast<int>(params.kernel.size()), shape,
                  "layer '{}': kernel has shape {}, its equation names {} axes", core::escaped(spec.path),
                  to_string(kernel->shape()), params.kernel.size());
  const int moved = transposed(src, c.input, spec.path);
  const Shape input = at(moved).sample;
  for (int i = 0; i < c.summed; ++i) {
    LAMELLA_EXPECTS(kernel->shape()[c.kernel[static_cast<std::size_t>(i)]] == input[c.kept + i], shape,
                    "layer '{}': kernel has shape {}, axis '{}' of its input has {} elements", core::escaped(spec.path),
                    to_string(kernel->shape()), params.kernel[static_cast<std::size_t>(c.kernel[static_cast<std::size_t>(i)])],
                    input[c.kept + i]);
  }
  std::vector<std::int64_t> made(input.begin(), input.begin() + c.kept);
  for (std::size_t i = static_cast<std::size_t>(c.summed); i < c.kernel.size(); ++i) made.push_back(kernel->shape()[c.kernel[i]]);
  const Shape product(made);
  const DType dtype = compute(spec);
  ops::DenseDesc desc{.batch = product.elements(0, c.kept),
                      .inputs = input.elements(c.kept, input.rank()),
                      .units = product.elements(c.kept, product.rank()),
                      .activation = {},
                      .dtype = dtype,
                      .math = options_.math,
                      .fusion = options_.fusion,
                      .determinism = options_.determinism};
  const Recipe recipe{.what = Recipe::What::arranged,
                      .dtype = kernel->dtype(),
                      .sources = {kernel},
                      .numbers = {c.kernel.begin(), c.kernel.end()},
                      .sample = {desc.inputs, desc.units}};
  const auto matrix = computed(recipe, [&] { return arranged(kernel, c.kernel, {desc.inputs, desc.units}); });
  ConstantsPool::Values constants{matrix};
  const Shape units = product.slice(c.kept, product.rank());
  desc.has_bias =
      params.use_bias && std::is_sorted(c.output.begin(), c.output.end()) && broadcasts(weight(spec, "bias")->shape(), units);
  if (desc.has_bias) {
    const Tensor& bias = *weight(spec, "bias");
    constants.push_back(
        constant(spec, {.what = Recipe::What::broadcast, .sources = {weight(spec, "bias")}, .sample = extents_of(units)},
                 wide(spec), [&] { return broadcast(numbers(bias), bias.shape(), units); }));
  }
  int result = transposed(add_step(desc, {moved}, product, dtype, spec.path, constants), c.output, spec.path);
  if (params.use_bias && !desc.has_bias) result = add_bias(spec, result);
  if (params.activation_layer) return layer(*params.activation_layer, {result}).at(0);
  return activation(spec.path, params.activation, {}, result);
}

int Lowering::add_bias(const core::LayerSpec& spec, int src) {
  const Shape sample = at(src).sample;
  const std::shared_ptr<const Tensor>& bias = weight(spec, "bias");
  const Shape shape = bias->shape();
  LAMELLA_EXPECTS(broadcasts(shape, sample), shape, "layer '{}': bias has shape {}, which does not broadcast to {}",
                  core::escaped(spec.path), to_string(shape), to_string(sample));
  return affine(spec.path, src, number(spec, 1.0, sample), {bias, padded(shape, sample)});
}

int Lowering::lower(const core::LayerSpec& spec, const core::DotParams& params, const std::vector<int>& srcs) {
  expect_floats(spec, srcs);
  LAMELLA_EXPECTS(srcs.size() == 2, argument, "layer '{}' (Dot) takes exactly 2 inputs, got {}", core::escaped(spec.path),
                  srcs.size());
  const DType dtype = compute(spec);
  std::vector<int> values;
  std::vector<Shape> rows;
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < 2; ++i) {
    int value = cast(srcs[i], dtype, spec.path);
    if (params.normalize) value = unit_normalization(spec.path, {params.axes[i]}, params.epsilon, value);
    const int axis = sample_axis(spec.path, params.axes[i], at(value).sample);
    values.push_back(transposed(value, moved_last(at(value).sample, {axis}), spec.path));
    rows.push_back(at(values[i]).sample);
    result.insert(result.end(), rows[i].begin(), rows[i].end() - 1);
  }
  LAMELLA_EXPECTS(rows[0].back() == rows[1].back(), shape, "layer '{}' axes: its inputs have {} and {} elements along them",
                  core::escaped(spec.path), rows[0].back(), rows[1].back());
  if (result.empty()) result.push_back(1);
  const std::int64_t length = rows[0].back();
  const ops::InnerProductsDesc desc{1, rows[0].elements(0, rows[0].rank() - 1), rows[1].elements(0, rows[1].rank() - 1), length,
                                    dtype};
  return add_step(desc, values, Shape(result), dtype, spec.path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::TimeDistributedParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  const Shape sample = at(src).sample;
  LAMELLA_EXPECTS(sample.rank() >= 2, shape, "layer '{}': expected min_ndim=3, found ndim={}", core::escaped(spec.path),
                  sample.rank() + 1);
  // Keras 3 casts to the compute dtype of TimeDistributed, Keras 2 to that of the inner layer.
  const bool one_type =
      std::holds_alternative<core::NestedParams>(params.wrapped->params) || compute(*params.wrapped) == compute(spec);
  LAMELLA_EXPECTS(one_type, unsupported, "layer '{}' dtype: it computes in {}, the layer inside in {}", core::escaped(spec.path),
                  to_string(compute(spec)), to_string(compute(*params.wrapped)));
  // Lowered for one step; each step is then one more sample for every operation.
  const std::size_t first_value = graph_.values.size();
  const std::size_t first_step = graph_.steps.size();
  const int step = alias(src);
  graph_.values.back().sample = sample.slice(1, sample.rank());
  // At each step, Keras gives the inner layer one number of the mask per sample.
  if (const auto mask = mask_of(src)) masked_[step] = Mask{.layer = mask->layer, .of = -1};
  const int result = layer(*params.wrapped, {step}).at(0);
  for (std::size_t i = first_value; i < graph_.values.size(); ++i)
    graph_.values[i].sample = graph_.values[i].sample.prepended(sample[0]);
  for (std::size_t i = first_step; i < graph_.steps.size(); ++i) graph_.steps[i].desc = at_batch(graph_.steps[i].desc, sample[0]);
  return result;
}

}  // namespace lamella::model
