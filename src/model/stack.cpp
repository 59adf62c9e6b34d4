// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <optional>
#include <set>

#include "model/graph.hpp"

namespace lamella::model {
namespace {

/// Steps of a graph that are to be merged: each but the first is the only reader of the one before it.
struct Chain {
  ops::StackDesc desc;
  std::vector<std::size_t> steps;
};

ops::StackDesc::Layer layer_of(const ops::DenseDesc& d) { return {d.inputs, d.units, d.has_bias, d.activation}; }

class Stacker {
 public:
  Stacker(Graph& graph, const std::function<bool(const ops::StackDesc&)>& takes) : graph_(graph), takes_(takes) {
    for (std::size_t i = 0; i < graph.steps.size(); ++i) {
      for (const int src : graph.steps[i].srcs) readers_[graph.root(src)].push_back(i);
    }
    for (const int output : graph.outputs) outputs_.insert(graph.root(output));
  }

  /// The longest chain, beginning with the given step, that an engine takes; it may be this step alone.
  [[nodiscard]] Chain chain_from(std::size_t first) const {
    Chain chain;
    chain.steps.push_back(first);
    const auto* dense = std::get_if<ops::DenseDesc>(&graph_.steps[first].desc);
    if (dense == nullptr) return chain;
    chain.desc = {dense->batch, {layer_of(*dense)}, false, dense->dtype, dense->math, dense->fusion, dense->determinism};
    for (auto next = sole_reader(first); next && !chain.desc.softmax; next = sole_reader(*next)) {
      auto longer = extended(chain.desc, graph_.steps[*next].desc);
      if (!longer || !takes_(*longer)) break;
      chain.desc = *std::move(longer);
      chain.steps.push_back(*next);
    }
    return chain;
  }

 private:
  /// The only step that reads another's result, if that is not an output and is read once.
  [[nodiscard]] std::optional<std::size_t> sole_reader(std::size_t step) const {
    const int root = graph_.root(graph_.steps[step].dst);
    const auto readers = readers_.find(root);
    if (outputs_.contains(root) || readers == readers_.end() || readers->second.size() != 1) return std::nullopt;
    return readers->second.front();
  }

  /// The stack of `desc` followed by `next`, if that is one.
  static std::optional<ops::StackDesc> extended(const ops::StackDesc& desc, const ops::Desc& next) {
    ops::StackDesc longer = desc;
    const std::int64_t units = desc.layers.back().units;
    if (const auto* dense = std::get_if<ops::DenseDesc>(&next)) {
      if (dense->batch != desc.batch || dense->inputs != units || dense->dtype != desc.dtype || dense->math != desc.math ||
          dense->fusion != desc.fusion || dense->determinism != desc.determinism)
        return std::nullopt;
      longer.layers.push_back(layer_of(*dense));
      return longer;
    }
    const auto* rowwise = std::get_if<ops::RowwiseDesc>(&next);
    if (rowwise == nullptr || rowwise->kind != ActivationKind::Softmax || rowwise->outer != desc.batch ||
        rowwise->length != units || rowwise->inner != 1 || rowwise->dtype != desc.dtype)
      return std::nullopt;
    longer.softmax = true;
    return longer;
  }

  const Graph& graph_;
  const std::function<bool(const ops::StackDesc&)>& takes_;
  std::map<int, std::vector<std::size_t>> readers_;  ///< the steps that read a root, once per read
  std::set<int> outputs_;                            ///< roots
};

/// Merges a chain into its last step, at which its input is available.
void merge(Graph& graph, Chain chain, ConstantsPool& pool) {
  Step whole;
  whole.desc = std::move(chain.desc);
  whole.srcs = graph.steps[chain.steps.front()].srcs;
  whole.dst = graph.steps[chain.steps.back()].dst;
  ConstantsPool::Values values;
  for (const std::size_t i : chain.steps) {
    const Step& step = graph.steps[i];
    values.insert(values.end(), step.constants->values().begin(), step.constants->values().end());
    append_layers(whole, step);
  }
  whole.constants = pool.get(values);
  graph.steps[chain.steps.back()] = std::move(whole);
}

}  // namespace

void stack(Graph& graph, ConstantsPool& pool, const std::function<bool(const ops::StackDesc&)>& takes) {
  const Stacker stacker(graph, takes);
  std::vector<bool> gone(graph.steps.size(), false);
  std::vector<Chain> chains;
  for (std::size_t i = 0; i < graph.steps.size(); ++i) {
    if (gone[i]) continue;
    Chain chain = stacker.chain_from(i);
    if (chain.steps.size() < 2) continue;
    for (const std::size_t step : chain.steps) gone[step] = true;
    chains.push_back(std::move(chain));
  }
  for (Chain& chain : chains) {
    gone[chain.steps.back()] = false;
    merge(graph, std::move(chain), pool);
  }
  sweep(graph, gone);
}

}  // namespace lamella::model
