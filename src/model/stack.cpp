// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "model/graph.hpp"

namespace lamella::model {
namespace {

constexpr int kNoRoot = -1;

class Stacker {
 public:
  Stacker(const Graph& graph, const StackGain& gain) : graph_(graph), gain_(gain) {
    for (std::size_t i = 0; i < graph.steps.size(); ++i) {
      for (const int src : graph.steps[i].srcs) readers_[graph.root(src)].insert(i);
    }
    for (const int output : graph.outputs) outputs_.insert(graph.root(output));
  }

  /// The chain of most gain, beginning with the given step, that an engine takes; it may be this step alone.
  [[nodiscard]] Chain chain_from(std::size_t first) const {
    const Step& step = graph_.steps[first];
    Chain whole{{}, {first}, {graph_.root(step.srcs.at(0)), graph_.root(step.dst)}};
    const auto* dense = std::get_if<ops::DenseDesc>(&step.desc);
    if (dense == nullptr) return whole;
    whole.desc = {dense->batch, {layer_of(*dense)}, false, dense->dtype, dense->math, dense->fusion, dense->determinism};
    double most = 0;
    std::optional<ops::Weighed> longest;
    for (Chain longer = whole; extend(longer);) {
      if (!reads_all(longer)) continue;
      const std::optional<double> gain = gain_(longer);
      if (!gain) break;
      if (longer.weighed) longest = longer.weighed;
      if (*gain <= 0 || *gain < most) continue;
      whole = longer;
      most = *gain;
    }
    if (whole.steps.size() == 1) whole.weighed = std::move(longest);
    return whole;
  }

 private:
  static ops::StackDesc::Layer layer_of(const ops::DenseDesc& d) { return {d.inputs, d.units, d.has_bias, d.activation}; }
  static std::int64_t elements(const ops::StackDesc& desc) { return desc.batch * desc.layers.back().units; }

  [[nodiscard]] const std::set<std::size_t>& readers(int root) const {
    static const std::set<std::size_t> none;
    const auto found = readers_.find(root);
    return found == readers_.end() ? none : found->second;
  }

  /// Whether one step alone reads a value, so that it need not exist beyond this step.
  [[nodiscard]] bool is_read_once(int root) const { return readers(root).size() == 1 && !outputs_.contains(root); }

  /// Whether nothing but the chain reads what is made on the way.
  [[nodiscard]] bool reads_all(const Chain& chain) const {
    return std::all_of(chain.roots.begin() + 1, chain.roots.end() - 1, [&](int root) {
      const std::set<std::size_t>& all = readers(root);
      return !outputs_.contains(root) && std::all_of(all.begin(), all.end(), [&](std::size_t reader) {
        return std::find(chain.steps.begin(), chain.steps.end(), reader) != chain.steps.end();
      });
    });
  }

  /// Adds the step that goes on with the last result, if there is just one: other readers may only add or join the result later.
  /// If all do that, the first of them.
  [[nodiscard]] bool extend(Chain& chain) const {
    if (chain.desc.softmax || outputs_.contains(chain.roots.back())) return false;
    std::vector<std::size_t> next;
    const std::set<std::size_t>& all = readers(chain.roots.back());
    std::copy_if(all.begin(), all.end(), std::back_inserter(next),
                 [&](std::size_t i) { return !takes_several(graph_.steps[i].desc); });
    if (next.empty() && !all.empty()) next.assign(1, *all.begin());
    if (next.size() != 1 || !append(chain, graph_.steps[next[0]])) return false;
    chain.steps.push_back(next[0]);
    return true;
  }

  [[nodiscard]] bool append(Chain& chain, const Step& step) const {
    ops::StackDesc& desc = chain.desc;
    const int root = graph_.root(step.dst);
    if (const auto* combine = std::get_if<ops::CombineDesc>(&step.desc)) return append_sum(chain, *combine, step);
    if (const auto* concat = std::get_if<ops::ConcatDesc>(&step.desc)) return append_joined(chain, *concat, step);
    if (const auto* rowwise = std::get_if<ops::RowwiseDesc>(&step.desc)) {
      desc.softmax = is_read_once(chain.roots.back()) && rowwise->kind == ActivationKind::Softmax &&
                     rowwise->outer == desc.batch && rowwise->length == desc.layers.back().units && rowwise->inner == 1 &&
                     rowwise->dtype == desc.dtype;
      chain.roots.back() = root;
      return desc.softmax;
    }
    const std::int64_t units = desc.layers.back().units;
    if (const auto* activation = std::get_if<ops::ActivationDesc>(&step.desc)) {
      if (activation->dtype != desc.dtype || activation->elements != elements(desc)) return false;
      desc.layers.push_back({.inputs = units, .units = units, .activation = activation->activation, .is_dense = false});
    } else if (const auto* dense = std::get_if<ops::DenseDesc>(&step.desc)) {
      if (dense->batch != desc.batch || dense->inputs != units || dense->dtype != desc.dtype || dense->math != desc.math ||
          dense->fusion != desc.fusion || dense->determinism != desc.determinism)
        return false;
      desc.layers.push_back(layer_of(*dense));
    } else {
      return false;
    }
    chain.roots.push_back(root);
    return true;
  }

  /// The sum of the last result and a value before it.
  [[nodiscard]] bool append_sum(Chain& chain, const ops::CombineDesc& sum, const Step& step) const {
    ops::StackDesc& desc = chain.desc;
    if (sum.kind != ops::CombineKind::add || sum.dtype != desc.dtype || sum.constant != -1 || step.srcs.size() != 2 ||
        sum.srcs[0] != sum.dst || sum.srcs[1] != sum.dst || sum.dst.elements() != elements(desc))
      return false;
    const int first = graph_.root(step.srcs[0]);
    const int other = first == chain.roots.back() ? graph_.root(step.srcs[1]) : first;
    const auto before = chain.roots.end() - 1;
    const auto found = std::find(chain.roots.begin(), before, other);
    if (found == before) return false;
    ops::StackDesc::Layer& last = desc.layers.back();
    const auto added = static_cast<int>(found - chain.roots.begin());
    if (last.added == ops::StackDesc::kNothing && is_read_once(chain.roots.back())) {
      last.added = added;
      chain.roots.back() = graph_.root(step.dst);
    } else {
      desc.layers.push_back({.inputs = last.units, .units = last.units, .activation = {}, .is_dense = false, .added = added});
      chain.roots.push_back(graph_.root(step.dst));
    }
    return true;
  }

  /// Values of the chain side by side, two at a time.
  [[nodiscard]] bool append_joined(Chain& chain, const ops::ConcatDesc& concat, const Step& step) const {
    ops::StackDesc& desc = chain.desc;
    if (concat.outer != desc.batch || concat.dtype != desc.dtype || step.srcs.size() < 2) return false;
    std::vector<int> values;
    for (std::size_t k = 0; k < step.srcs.size(); ++k) {
      const auto found = std::find(chain.roots.begin(), chain.roots.end(), graph_.root(step.srcs[k]));
      if (found == chain.roots.end()) return false;
      values.push_back(static_cast<int>(found - chain.roots.begin()));
      if (width_of(desc, values.back()) != concat.extents[k]) return false;
    }
    std::int64_t units = concat.extents[0];
    for (std::size_t k = 1; k < values.size(); ++k) {
      units += concat.extents[k];
      const int before = k == 1 ? values[0] : static_cast<int>(desc.layers.size());
      desc.layers.push_back(
          {.inputs = units, .units = units, .activation = {}, .is_dense = false, .joined = {before, values[k]}});
      chain.roots.push_back(k + 1 == values.size() ? graph_.root(step.dst) : kNoRoot);
    }
    return true;
  }
  static std::int64_t width_of(const ops::StackDesc& desc, int value) {
    return value == 0 ? desc.layers[0].inputs : desc.layers[static_cast<std::size_t>(value) - 1].units;
  }
  static bool takes_several(const ops::Desc& desc) {
    return std::holds_alternative<ops::CombineDesc>(desc) || std::holds_alternative<ops::ConcatDesc>(desc);
  }

  const Graph& graph_;
  const StackGain& gain_;
  std::map<int, std::set<std::size_t>> readers_;  ///< the steps that read a root
  std::set<int> outputs_;                         ///< roots
};

/// Merges a chain into its last step, at which its input is available.
void merge(Graph& graph, Chain chain, ConstantsPool& pool) {
  Step whole;
  whole.desc = std::move(chain.desc);
  whole.srcs = graph.steps[chain.steps.front()].srcs;
  whole.dst = graph.steps[chain.steps.back()].dst;
  whole.weighed = std::move(chain.weighed);
  for (const std::size_t i : chain.steps) append_layers(whole, graph.steps[i]);
  whole.constants = pool.get(chain.constants_of(graph));
  graph.steps[chain.steps.back()] = std::move(whole);
}

}  // namespace

ConstantsPool::Values Chain::constants_of(const Graph& graph) const {
  ConstantsPool::Values values;
  for (const std::size_t i : steps) {
    const auto& some = graph.steps[i].constants->values();
    values.insert(values.end(), some.begin(), some.end());
  }
  return values;
}

void stack(Graph& graph, ConstantsPool& pool, const StackGain& gain) {
  const Stacker stacker(graph, gain);
  std::vector<bool> gone(graph.steps.size(), false);
  std::vector<Chain> chains;
  for (std::size_t i = 0; i < graph.steps.size(); ++i) {
    if (gone[i] || graph.steps[i].weighed) continue;
    Chain chain = stacker.chain_from(i);
    if (chain.steps.size() < 2) {
      graph.steps[i].weighed = std::move(chain.weighed);
      continue;
    }
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
