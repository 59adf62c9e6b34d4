// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/keras_version.hpp"
#include "model/graph.hpp"

namespace lamella::model {

/// Builds the graph of one model. lowering.cpp has values, steps and the walk over nodes; the files beside it have one function
/// for each kind of layer.
class Lowering {
 public:
  /// Without a pool, shapes alone are inferred: steps have no constants.
  Lowering(const Options& options, ConstantsPool* pool);

  int add_input(const Shape& sample, DType dtype) {
    graph_.inputs.push_back(add_value(sample, dtype));
    return graph_.inputs.back();
  }
  /// Walks the nodes of a model; returns the values of its outputs.
  std::vector<int> model(const core::ModelSpec& spec, const std::vector<int>& inputs);
  /// The same, with the values of every node's outputs in `results`, including those before a node that throws.
  void nodes(const core::ModelSpec& spec, const std::vector<int>& inputs, std::vector<std::vector<int>>& results);
  [[nodiscard]] const Value& at(int value) const { return graph_.values[static_cast<std::size_t>(value)]; }
  [[nodiscard]] Graph finish(const std::vector<int>& outputs);

 private:
  int add_value(const Shape& sample, DType dtype);
  int add_step(ops::Desc desc, std::vector<int> srcs, const Shape& sample, DType dtype, const std::string& layer,
               const ConstantsPool::Values& constants = {});
  /// The same memory in another shape.
  int reshaped(int value, const Shape& sample);
  /// The same value with a separate identity, so that it can carry another mask.
  int alias(int value);
  int cast(int value, DType dtype, const std::string& layer);
  /// The sample with its axes in another order.
  int transposed(int value, const std::vector<int>& axes, const std::string& layer);

  /// Casts a floating value to the layer's compute type; others are unchanged.
  int autocast(int value, const core::LayerSpec& spec);

  /// The values that a layer makes of others, and which of them carry a mask.
  std::vector<int> layer(const core::LayerSpec& spec, const std::vector<int>& srcs);
  /// One node: masks named by its call replace those that its values carry.
  std::vector<int> called(const core::ModelSpec& spec, const core::NodeSpec& node, std::vector<int> srcs);
  /// lower(), or model() for a nested model. Errors name the layer.
  std::vector<int> lowered(const core::LayerSpec& spec, const std::vector<int>& srcs);
  // int lower(const core::LayerSpec& spec, const core::DenseParams& params, const std::vector<int>& srcs); and so on.
#define LAMELLA_LOWER(Params) int lower(const core::LayerSpec& spec, const core::Params& params, const std::vector<int>& srcs);
  LAMELLA_LAYER_PARAMS(LAMELLA_LOWER)
#undef LAMELLA_LOWER

  // The input of a layer, for lower().
  /// The only input. Throws ArgumentError if there is none, or more than one.
  [[nodiscard]] int only_input(const core::LayerSpec& spec, const std::vector<int>& srcs) const;
  /// Keras casts floating inputs to the layer's compute type and leaves integers unchanged; a layer that multiplies them with its
  /// weights promotes them: in_compute().
  int as_called(const core::LayerSpec& spec, const std::vector<int>& srcs) { return autocast(only_input(spec, srcs), spec); }
  int in_compute(const core::LayerSpec& spec, const std::vector<int>& srcs);
  /// For layers that Keras starts in integer arithmetic on integers, where squares wrap around. Throws ArgumentError
  /// (unsupported).
  void expect_floats(const core::LayerSpec& spec, const std::vector<int>& srcs) const;

  /// The product of a Dense; `constants` are kernel and bias.
  int product(const core::LayerSpec& spec, const core::DenseParams& params, int src, const ConstantsPool::Values& constants);
  /// A quantized Dense without its activation.
  int quantized_dense(const core::LayerSpec& spec, const core::DenseParams& params, int src);
  /// Weights in the format of ops::QuantizedDenseDesc.
  std::shared_ptr<const Tensor> packed_kernel(const core::LayerSpec& spec, const core::Quantization& q,
                                              const ops::QuantizedDenseDesc& desc);
  std::shared_ptr<const Tensor> grouped(const std::shared_ptr<const Tensor>& values, int shift, DType dtype);
  std::shared_ptr<const Tensor> zero_points(const core::LayerSpec& spec, const core::Quantization& q,
                                            const std::shared_ptr<const Tensor>& scales);
  int float8_dense(const core::LayerSpec& spec, const core::DenseParams& params, int src);
  int activation(const std::string& path, const ActivationSpec& spec, const std::vector<int>& axes, int src);
  int rowwise(const std::string& path, ActivationKind kind, std::vector<int> axes, int src);
  int activation_of_integers(const std::string& path, const ActivationSpec& spec, int src);
  int prelu_of_integers(const core::LayerSpec& spec, const std::shared_ptr<const Tensor>& alpha, int src);
  int batch_normalization(const core::LayerSpec& spec, const core::BatchNormalizationParams& params, int src);
  int layer_normalization(const core::LayerSpec& spec, const core::LayerNormalizationParams& params, int src);
  /// Nonzero where src is not `value`.
  int differences(const std::string& path, double value, int src);
  int group_normalization(const core::LayerSpec& spec, const core::GroupNormalizationParams& params, int src);
  /// x * min(1 / |x|, 1 / epsilon) over `axes`, where the batch counts as 0.
  int unit_normalization(const std::string& path, const std::vector<int>& axes, double epsilon, int src);
  /// Adds the weight "bias" along the last axes.
  int add_bias(const core::LayerSpec& spec, int src);
  /// For a Discretization adapted by Keras 2.
  std::shared_ptr<const Tensor> learnt_boundaries(const core::LayerSpec& spec, std::int64_t bins);
  /// Numbers 0 .. depth - 1, encoded in `dtype`.
  int encoded(const core::LayerSpec& spec, core::Encoding encoding, std::int64_t depth, DType dtype, int src);
  /// One step over values of one dtype, broadcast. `padded`: values of lower rank get axes after the batch; else they are
  /// refused.
  int combined(const std::string& path, ops::CombineKind kind, const std::vector<int>& values, bool padded = true);
  /// The same of any dtypes: from left to right, each pair in its result_type().
  int met(const core::LayerSpec& spec, ops::CombineKind kind, const std::vector<int>& values, bool padded = true);
  /// Rows over `axes` of the sample, normalized; gamma and beta, if in `constants`, apply along those axes.
  int normalized(const std::string& path, int src, std::vector<int> axes, ops::LayerNormalizationDesc desc,
                 const ConstantsPool::Values& constants);
  /// Along an axis of the sample, in the result_type() of all.
  int concatenated(const core::LayerSpec& spec, int axis, const std::vector<int>& srcs);
  int with_number(const core::LayerSpec& spec, const core::ArithmeticParams& params, int src, double number);
  /// The scales or offsets of an affine step that computes in `dtype`.
  std::shared_ptr<const Tensor> line_constant(const std::vector<double>& values, DType dtype);
  int with_array(const core::LayerSpec& spec, const core::ArithmeticParams& params, int src);
  int expand_dims(const core::LayerSpec& spec, const core::ExpandDimsParams& params, int src);
  int reduce(const core::LayerSpec& spec, const core::ReduceParams& params, int src);
  int slice(const core::LayerSpec& spec, const core::SliceParams& params, int src);
  /// Bools.
  int comparison(const std::string& path, const core::ComparisonParams& params, int src);
  int negated(const std::string& path, int bools);
  /// Nonzero where src, of floating type, is greater than `number`, or less if `less`.
  int excess(const std::string& path, double number, bool less, int src);
  /// src, with integers and bools converted to float64, in which they compare with `number` correctly.
  int ordered(const std::string& path, double number, int src);
  int logical(const core::LayerSpec& spec, const core::LogicalParams& params, const std::vector<int>& srcs);
  int reduce_bools(const core::LayerSpec& spec, const core::ReduceParams& params, int src);
  /// A constant of an element-wise step, and the shape with which it broadcasts over a sample: of the sample's rank, with its
  /// extents or 1.
  struct Spread {
    std::shared_ptr<const Tensor> value;
    Shape shape;
  };
  /// One affine step.
  int affine(const std::string& path, int src, const Spread& scale, const Spread& offset);
  /// A constant by a recipe, shaped like its first source that is not null; `make` computes the values, which are rounded to
  /// `kept`. Null if only shapes are needed.
  std::shared_ptr<const Tensor> constant(const core::LayerSpec& spec, Recipe recipe, DType kept,
                                         const std::function<std::vector<double>()>& make);
  /// One number for all elements.
  Spread number(const core::LayerSpec& spec, double value, const Shape& sample);

  /// The pool's tensor for `recipe`; null without a pool.
  [[nodiscard]] std::shared_ptr<const Tensor> computed(const Recipe& recipe, const std::function<Tensor()>& make) {
    return pool_ == nullptr ? nullptr : pool_->computed(recipe, make);
  }
  /// model::sample_axis() of a layer's argument `axis`.
  [[nodiscard]] int sample_axis(const std::string& path, int axis, const Shape& sample) const;
  /// The same for several axes, in ascending order. Also throws for duplicates.
  [[nodiscard]] std::vector<int> sample_axes(const std::string& path, std::vector<int> axes, const Shape& sample) const;
  [[nodiscard]] DType compute(const core::LayerSpec& spec) const {
    return is_floating(spec.policy.compute) ? options_.dtype.value_or(spec.policy.compute) : spec.policy.compute;
  }
  /// The same, of a layer that computes in floating point. Throws ArgumentError (unsupported) for a policy of integers.
  [[nodiscard]] DType floating_compute(const core::LayerSpec& spec) const;
  /// The same, for an operation too, which computes in the type of its inputs.
  [[nodiscard]] DType compute(const core::LayerSpec& spec, const std::vector<int>& srcs) const;
  /// The compute type of element-wise steps.
  [[nodiscard]] DType wide(const core::LayerSpec& spec) const {
    return compute(spec) == DType::float64 ? DType::float64 : DType::float32;
  }

  const Options& options_;
  ConstantsPool* pool_;
  Graph graph_;
  std::map<std::pair<int, DType>, int> casts_;
  /// The source of Keras' mask of a value: it is true where `of` is not `value`, or where any element along its last axis is not.
  struct Mask {
    std::string layer;  ///< the layer that made it
    int of = -1;        ///< -1: lamella cannot determine the mask
    bool any = false;
    double value = 0;
    bool given = false;   ///< `of` itself is in the call, perhaps as numbers
    bool unsaid = false;  ///< it exists although a file does not name it: from a nested model, or from a layer that does nothing
    [[nodiscard]] bool known() const { return of >= 0; }
    [[nodiscard]] bool same(const Mask& other) const { return of == other.of && any == other.any && value == other.value; }
  };
  using KnownMask = std::optional<Mask>;
  std::map<int, Mask> masked_;  ///< masks of values that may carry one
  int depth_ = 0;               ///< of nested models
  std::string wrote_;           ///< the version of Keras that wrote the model; empty for the newest
  [[nodiscard]] bool before(int major, int minor) const { return core::older_than(wrote_, major, minor); }
  [[nodiscard]] bool keras2() const { return before(3, 0); }
  [[nodiscard]] KnownMask mask_of(int value) const;
  /// The mask that `layer` attaches to its result, if any.
  [[nodiscard]] KnownMask own_mask(const core::LayerSpec& spec, const std::vector<int>& srcs);
  /// The mask after a layer that makes none, from the masks of its inputs.
  [[nodiscard]] KnownMask mask_after(const core::LayerSpec& spec, const std::vector<int>& srcs);
  [[nodiscard]] KnownMask merged_mask(const core::LayerSpec& spec, const std::vector<int>& srcs);
  /// The masks that a call names, or names as absent, replace those that its inputs carry.
  void name_masks(const core::ModelSpec& spec, const core::NodeSpec& node, const std::vector<int>& masks, std::vector<int>& srcs);
  /// 1 where the mask is true, else 0; with `as_given`, the numbers in the call.
  int mask_numbers(const Mask& mask, DType dtype, const std::string& path, bool as_given = false);
  /// The same with one more axis, or with an axis of 1 in place of the one that it reduces.
  int mask_value(const Mask& mask, DType dtype, const std::string& path, bool as_given = false);
  /// src where `mask` is not 0, else 0; or their product, as in older versions of Keras.
  int masked(const std::string& path, int src, int mask, bool selects) {
    return combined(path, selects ? ops::CombineKind::where : ops::CombineKind::multiply, {src, mask});
  }
  /// (1 - mask) * value.
  int where_masked(const std::string& path, int mask, double value);
  /// `yes` where `mask` is 1, `no` where it is 0.
  int chosen(const std::string& path, int mask, int yes, int no);
  /// The mask that a Softmax layer takes, if any.
  [[nodiscard]] KnownMask softmax_mask(const core::LayerSpec& spec, int src) const;
  /// exp(x - logsumexp(x)), each step rounded, as Keras computes it along several axes.
  int softmax_by_steps(const core::LayerSpec& spec, const std::vector<int>& axes, int src);
  int masked_softmax(const core::LayerSpec& spec, const core::ActivationParams& params, const Mask& mask, int src);
  /// The masks of a merge whose computation depends on them; empty for others.
  [[nodiscard]] std::vector<KnownMask> masks_of_merge(const core::MergeParams& params, const std::vector<int>& srcs) const;
  int masked_merge(const core::LayerSpec& spec, const core::MergeParams& params, const std::vector<int>& values,
                   const std::vector<KnownMask>& masks);
};

}  // namespace lamella::model
