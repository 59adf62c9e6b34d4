// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <lamella/options.hpp>

#include "core/mutex.hpp"
#include "core/spec.hpp"
#include "ops/engine.hpp"

namespace lamella::model {

/// An array in the graph: the shape of one sample, without the batch.
struct Value {
  Shape sample;
  DType dtype = DType::float32;
  int root = -1;  ///< the value whose memory this one reinterprets in another shape; itself if it has its own memory
};

/// One operation. `desc` is for a batch of one; at_batch() gives it for any other.
struct Step {
  ops::Desc desc;
  std::vector<int> srcs;
  int dst = -1;
  std::vector<std::string> layers;  ///< paths of the layers it came from
  std::shared_ptr<const ops::Constants> constants;
  /// What measurements say of the chain that this is, or that begins here and is left alone; nothing if none was asked.
  std::optional<ops::Weighed> weighed = {};
};

/// A model for given sample shapes: values, and steps in a valid order.
struct Graph {
  std::vector<Value> values;
  std::vector<Step> steps;
  std::vector<int> inputs;
  std::vector<int> outputs;  ///< each is the dst of a step, and no two share memory
  /// The same before stack(), if that may merge other steps for some numbers of rows; else null.
  std::shared_ptr<const Graph> one_by_one = {};
  [[nodiscard]] int root(int value) const { return values[static_cast<std::size_t>(value)].root; }
};

/// How a constant is computed: its kind, and everything that it depends on. Tensors are compared by identity, so the recipe owns
/// them; numbers and shapes by value. Constants broadcast, so few depend on the input's shape.
struct Recipe {
  enum class What {
    batch_scale,       ///< of gamma (or null), moving variance; epsilon
    batch_offset,      ///< of gamma (or null), moving variance, moving mean, beta (or null); epsilon
    number,            ///< the number itself
    rounded,           ///< of a value, to a layer's compute type, which is `dtype`; likewise the next three
    minus_mean,        ///< of mean
    deviation,         ///< of variance
    reciprocal,        ///< of variance: 1 / deviation
    given,             ///< the numbers themselves
    operand,           ///< the one source, in its own shape
    broadcast,         ///< of a weight, broadcast to `sample`
    minus_alpha,       ///< of alpha, the same, negated
    arranged,          ///< of a kernel, its axes in the order of `numbers`; `sample` is the matrix that they make
    kernel_scaled,     ///< of kernel, scale of each unit; whether that is allowed also depends on bias (or null) and offset
    kernel_of_scaled,  ///< of kernel, scale of each input; whether that is allowed also depends on bias (or null)
    bias_scaled,       ///< of bias (or null), scale, offset
    packed,            ///< of a quantized kernel; how it is stored, inputs, units
    by_group,          ///< of scales or zero points by unit; what is subtracted
    constant_zeros,    ///< for scales; a number
    groups,            ///< of g_idx; how many groups
    through_float8,    ///< of kernel; its scale
    through_bfloat16,  ///< of bias
  };
  What what;
  DType dtype = DType::float32;
  std::vector<std::shared_ptr<const Tensor>> sources = {};
  std::vector<std::uint64_t> numbers = {};  ///< bits_of() them: NaN has no order
  std::vector<std::int64_t> sample = {};
  friend bool operator<(const Recipe& a, const Recipe& b) {
    const auto all = [](const Recipe& r) { return std::tie(r.what, r.dtype, r.sources, r.numbers, r.sample); };
    return all(a) < all(b);
  }
};

[[nodiscard]] inline std::vector<std::uint64_t> bits_of(std::span<const double> numbers) {
  std::vector<std::uint64_t> bits;
  for (const double number : numbers) bits.push_back(std::bit_cast<std::uint64_t>(number));
  return bits;
}

/// The constants of all layers of a model and of the models made from it by with_activation(): packed once, and found by content,
/// while a graph or plan holds them. Thread-safe.
class ConstantsPool {
 public:
  using Values = std::vector<std::shared_ptr<const Tensor>>;
  [[nodiscard]] std::shared_ptr<const ops::Constants> get(const Values& values);
  /// The tensor of this recipe: cached, or created by `make`.
  [[nodiscard]] std::shared_ptr<const Tensor> computed(const Recipe& recipe, const std::function<Tensor()>& make);
  /// Drops entries that nothing holds any more.
  void sweep();
  /// Drops all entries, because the sources changed. Holders keep theirs.
  void forget_computed();
  /// Adds the live tensors, each to be counted once, and returns the bytes of the forms that engines made of them on the host.
  std::size_t add_tensors(std::set<const Tensor*>& tensors);

 private:
  core::Mutex mutex_;
  // Keys own their tensors, so that no other tensor can get the address of one of them.
  std::map<Recipe, std::weak_ptr<const Tensor>> computed_;
  std::map<Values, std::weak_ptr<const ops::Constants>> known_;
};

/// The Desc of a step for `batch` samples. Throws ArgumentError (overflow) when a size does not fit.
[[nodiscard]] ops::Desc at_batch(const ops::Desc& desc, std::int64_t batch);

/// The dtype of an input at the start of the program: the model's. Floating inputs are float64 if every layer computes in
/// float64, because rounding to float32 first would lose precision.
[[nodiscard]] DType input_dtype(const core::InputParams& input, const Options& options);

/// Lowers a spec to a graph: infers shapes, inserts casts, inlines nested models, drops layers without effect. One step per
/// layer, nothing fused. Throws ArgumentError (shape, unsupported), which names the layer.
[[nodiscard]] Graph lower(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes, const Options& options,
                          ConstantsPool& pool);

/// The sample shapes of the outputs of each node of `spec`; empty from the first node that cannot be lowered.
[[nodiscard]] std::vector<std::vector<Shape>> node_shapes(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes);

/// Folds affine steps into Dense where only rounding changes (fold.hpp), and attaches activations to the preceding Dense.
void fuse(Graph& graph, ConstantsPool& pool);

/// Steps of a graph that may be merged: what each but the last makes is read by these steps alone.
struct Chain {
  ops::StackDesc desc;
  std::vector<std::size_t> steps;
  std::vector<int> roots;  ///< of the input, and of each layer's result; -1: the graph has no such value
  std::optional<ops::Weighed> weighed = {};
  /// Of all steps, in order.
  [[nodiscard]] ConstantsPool::Values constants_of(const Graph& graph) const;
};
/// What running these layers as one step is expected to save; nothing if no engine of the device can run them, or them and more
/// layers, as one step. May set Chain::weighed.
using StackGain = std::function<std::optional<double>(Chain&)>;
/// Merges chains of Dense steps, with activations and sums of two of their results between them, and a following softmax, into
/// one step, if nothing else reads what is made on the way. Of the chains that begin at a step, takes the one that gains
/// most, the longest of equals; a chain without gain is left alone, and so is one that begins at a step that has been weighed.
void stack(Graph& graph, ConstantsPool& pool, const StackGain& gain);

/// By measurements for that number of rows, as `context` says.
[[nodiscard]] StackGain measured_gain(const Graph& graph, std::int64_t rows, ops::OpSet& ops, const ops::PlanContext& context);

/// Appends the layers of a merged step, without consecutive duplicates.
void append_layers(Step& to, const Step& step);
/// Removes the steps marked in `gone`.
void sweep(Graph& graph, const std::vector<bool>& gone);

/// Bytes read and written by a step, and its floating-point operations (2 per multiply-add; element-wise functions count 1 per
/// element); saturates at 64 bits.
[[nodiscard]] std::int64_t bytes_of(const ops::Desc& desc);
[[nodiscard]] std::int64_t flops_of(const ops::Desc& desc);
/// "dense", "activation", "softmax", ...
[[nodiscard]] std::string op_name(const ops::Desc& desc);

}  // namespace lamella::model
