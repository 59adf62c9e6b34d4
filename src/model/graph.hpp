// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
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

/// An array that flows through the graph: one sample of it, the batch goes in front.
struct Value {
  Shape sample;
  DType dtype = DType::float32;
  int root = -1;  ///< the value whose memory this one shows under another shape; itself when it has memory of its own
};

/// One operation. `desc` is that for a batch of one; at_batch() makes it any other.
struct Step {
  ops::Desc desc;
  std::vector<int> srcs;
  int dst = -1;
  std::vector<std::string> layers;  ///< paths of the layers it came from
  std::shared_ptr<const ops::Constants> constants;
};

/// A model for given sample shapes: values and steps in an order in which they can run.
struct Graph {
  std::vector<Value> values;
  std::vector<Step> steps;
  std::vector<int> inputs;
  std::vector<int> outputs;  ///< each is the dst of a step, and no two share memory
  [[nodiscard]] int root(int value) const { return values[static_cast<std::size_t>(value)].root; }
};

/// How a constant is computed: what it is, and all that it depends on. The tensors are its identity, so it owns them; numbers and
/// shapes count by value. Constants broadcast: few need to know the input's shape.
struct Recipe {
  enum class What {
    batch_scale,       ///< of gamma (or null), moving variance; epsilon
    batch_offset,      ///< of gamma (or null), moving variance, moving mean, beta (or null); epsilon
    number,            ///< the number itself
    rounded,           ///< of a value, to a layer's compute type, which is `dtype`; so the next three
    minus_mean,        ///< of mean
    deviation,         ///< of variance
    reciprocal,        ///< of variance: 1 / deviation
    given,             ///< the numbers themselves
    operand,           ///< the one source, in its own shape
    broadcast,         ///< of a weight, broadcast to `sample`
    minus_alpha,       ///< of alpha, the same, negated
    arranged,          ///< of a kernel, its axes in the order of `numbers`; `sample` is the matrix that they make
    kernel_scaled,     ///< of kernel, scale of each unit; whether it may be also of bias (or null) and offset
    kernel_of_scaled,  ///< of kernel, scale of each input; whether it may be also of bias (or null)
    bias_scaled,       ///< of bias (or null), scale, offset
    packed,            ///< of a quantized kernel; how it is stored, inputs, units
    by_group,          ///< of scales or zero points by unit; what is taken off
    constant_zeros,    ///< for scales; the number
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

/// The constants of all layers of a model and of the models made from it by with_activation(): packed once, found again by what
/// they hold, for as long as a graph or a plan holds them. Thread-safe.
class ConstantsPool {
 public:
  using Values = std::vector<std::shared_ptr<const Tensor>>;
  [[nodiscard]] std::shared_ptr<const ops::Constants> get(const Values& values);
  /// What `make` returned when this recipe's tensor was made last.
  [[nodiscard]] std::shared_ptr<const Tensor> computed(const Recipe& recipe, const std::function<Tensor()>& make);
  /// Forgets what nobody holds any more.
  void sweep();
  /// Forgets what was computed: sources have other numbers now. Who holds it keeps it.
  void forget_computed();
  /// Adds the tensors that live, to be counted once each, and returns the bytes of what engines made of them on the host.
  std::size_t add_tensors(std::set<const Tensor*>& tensors);

 private:
  core::Mutex mutex_;
  // Keys own their tensors, so that no other tensor can come to stand at the address of one of them.
  std::map<Recipe, std::weak_ptr<const Tensor>> computed_;
  std::map<Values, std::weak_ptr<const ops::Constants>> known_;
};

/// The Desc of a step for `batch` samples. Throws ArgumentError (overflow) when a size does not fit.
[[nodiscard]] ops::Desc at_batch(const ops::Desc& desc, std::int64_t batch);

/// What an input's elements are where the program begins: as the model says. Floating ones are float64 where every layer computes
/// in that: to round to float32 first would lose what was asked for.
[[nodiscard]] DType input_dtype(const core::InputParams& input, const Options& options);

/// Spec to graph: shapes inferred, casts put in, nested models inlined, layers without effect dropped. One step a layer, nothing
/// fused. Throws ArgumentError (shape, unsupported) that names the layer.
[[nodiscard]] Graph lower(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes, const Options& options,
                          ConstantsPool& pool);

/// The sample shapes that the outputs of each node of `spec` have; none from the node on that cannot be lowered.
[[nodiscard]] std::vector<std::vector<Shape>> node_shapes(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes);

/// Folds affine steps into Dense where that changes rounding only (fold.hpp), and attaches activations to the Dense before them.
void fuse(Graph& graph, ConstantsPool& pool);

/// Makes one step of Dense steps of which each has the result of the one before it for itself, and of a softmax behind them, as
/// far as `takes` says that the device has an engine for them. The longest there is, from the first on.
void stack(Graph& graph, ConstantsPool& pool, const std::function<bool(const ops::StackDesc&)>& takes);

/// Adds the layers of a step that another does now, each once where they follow one another.
void append_layers(Step& to, const Step& step);
/// Takes out the steps that are `gone`.
void sweep(Graph& graph, const std::vector<bool>& gone);

/// What a step reads and writes, and its floating-point operations (2 per multiply-add; element-wise functions count 1 an
/// element); the largest number where they do not fit into 64 bits.
[[nodiscard]] std::int64_t bytes_of(const ops::Desc& desc);
[[nodiscard]] std::int64_t flops_of(const ops::Desc& desc);
/// "dense", "activation", "softmax", ...
[[nodiscard]] std::string op_name(const ops::Desc& desc);

}  // namespace lamella::model
