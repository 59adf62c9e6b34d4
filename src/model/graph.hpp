// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <lamella/options.hpp>

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

/// The constants of all layers of a model and of the models made from it by with_activation(): packed once, found again by what
/// they hold.
class ConstantsPool {
 public:
  using Values = std::vector<std::shared_ptr<const Tensor>>;
  [[nodiscard]] std::shared_ptr<const ops::Constants> get(const Values& values);
  /// What `make` returned the first time it was asked for under `key`: a constant computed from weights. Keys name their sources.
  [[nodiscard]] std::shared_ptr<const Tensor> computed(const std::string& key, const std::function<Tensor()>& make);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Tensor>> computed_;
  std::map<std::vector<const Tensor*>, std::shared_ptr<const ops::Constants>> known_;
};

/// The Desc of a step for `batch` samples. Throws ArgumentError (overflow) when a size does not fit.
[[nodiscard]] ops::Desc at_batch(const ops::Desc& desc, std::int64_t batch);

/// Spec to graph: shapes inferred, casts put in, nested models inlined, layers without effect dropped. One step a layer, nothing
/// fused. Throws ArgumentError (shape, unsupported) that names the layer.
[[nodiscard]] Graph lower(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes, const Options& options,
                          ConstantsPool& pool);

/// The sample shapes that the outputs of each node of `spec` have; none from the node on that cannot be lowered.
[[nodiscard]] std::vector<std::vector<Shape>> node_shapes(const core::ModelSpec& spec, const std::vector<Shape>& sample_shapes);

/// Folds affine steps into Dense where that changes rounding only, and attaches activations to the Dense before them.
void fuse(Graph& graph, ConstantsPool& pool);

/// What a step reads and writes, and its floating-point operations (2 per multiply-add; element-wise functions count 1 an
/// element).
[[nodiscard]] std::int64_t bytes_of(const ops::Desc& desc);
[[nodiscard]] std::int64_t flops_of(const ops::Desc& desc);
/// "dense", "activation", "softmax", ...
[[nodiscard]] std::string op_name(const ops::Desc& desc);

}  // namespace lamella::model
