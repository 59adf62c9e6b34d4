// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <set>

#include "model/fold.hpp"

namespace lamella::model {
namespace {

/// Visits a graph step by step; steps merged into others are marked, and removed at the end.
class Fuser {
 public:
  Fuser(Graph& graph, ConstantsPool& pool)
      : graph_(graph),
        pool_(pool),
        gone_(graph.steps.size(), false),
        readers_(graph.values.size()),
        writer_(graph.values.size()),
        output_(graph.values.size(), false) {
    for (std::size_t i = 0; i < graph_.steps.size(); ++i) {
      for (const int src : graph_.steps[i].srcs) readers_[root_of(src)].insert(i);
      auto& writer = writer_[root_of(graph_.steps[i].dst)];
      if (!writer) writer = i;
    }
    for (const int value : graph_.outputs) output_[root_of(value)] = true;
  }

  void run() {
    drop_unread();
    for (std::size_t i = 0; i < graph_.steps.size(); ++i) {
      if (gone_[i]) continue;
      if (std::holds_alternative<ops::AffineDesc>(graph_.steps[i].desc)) {
        if (!fold_into_producer(i)) fold_into_consumer(i);
      } else if (std::holds_alternative<ops::ActivationDesc>(graph_.steps[i].desc)) {
        if (!attach<ops::DenseDesc>(i)) attach<ops::QuantizedDenseDesc>(i);
      }
    }
    sweep(graph_, gone_);
  }

 private:
  /// Marks steps whose result reaches no output: branches of a nested model that its caller does not use.
  void drop_unread() {
    for (std::size_t i = graph_.steps.size(); i-- > 0;) {
      const std::size_t root = root_of(graph_.steps[i].dst);
      if (readers_[root].empty() && !output_[root]) drop(i);
    }
  }

  /// The step that made the only source of step `i`, if it is a D (a Dense) without activation and with no other reader.
  template <typename D>
  std::optional<std::size_t> sole_before(std::size_t i) {
    const std::size_t root = root_of(graph_.steps[i].srcs.at(0));
    if (readers_[root].size() != 1 || output_[root] || !writer_[root] || *writer_[root] >= i) return std::nullopt;
    const auto* dense = std::get_if<D>(&graph_.steps[*writer_[root]].desc);
    return dense != nullptr && dense->activation.kind == ActivationKind::Linear ? writer_[root] : std::nullopt;
  }

  template <typename D>
  bool attach(std::size_t i) {
    const auto producer = sole_before<D>(i);
    if (!producer) return false;
    auto& dense = std::get<D>(graph_.steps[*producer].desc);
    const auto& activation = std::get<ops::ActivationDesc>(graph_.steps[i].desc);
    if (activation.dtype != dense.dtype) return false;
    dense.activation = activation.activation;
    merge(*producer, i);
    return true;
  }

  bool fold_into_producer(std::size_t i) {
    const auto producer = sole_before<ops::DenseDesc>(i);
    if (!producer) return false;
    const Step& step = graph_.steps[i];
    Step& into = graph_.steps[*producer];
    auto& dense = std::get<ops::DenseDesc>(into.desc);
    const auto folded = folded_behind(dense, *into.constants, std::get<ops::AffineDesc>(step.desc), *step.constants, pool_);
    if (!folded) return false;
    dense.has_bias = true;
    into.constants = pool_.get(*folded);
    merge(*producer, i);
    return true;
  }

  void fold_into_consumer(std::size_t i) {
    const Step& step = graph_.steps[i];
    const std::size_t root = root_of(step.dst);
    if (readers_[root].size() != 1 || output_[root]) return;
    const std::size_t consumer_index = *readers_[root].begin();
    Step& consumer = graph_.steps[consumer_index];
    const auto* dense = std::get_if<ops::DenseDesc>(&consumer.desc);
    if (dense == nullptr || root_of(consumer.srcs.at(0)) != root) return;
    const auto folded = folded_before(*dense, *consumer.constants, std::get<ops::AffineDesc>(step.desc), *step.constants, pool_);
    if (!folded) return;
    consumer.constants = pool_.get(*folded);
    consumer.srcs[0] = step.srcs[0];
    consumer.layers.insert(consumer.layers.begin(), step.layers.begin(), step.layers.end());
    drop(i);
    readers_[root_of(consumer.srcs[0])].insert(consumer_index);
    readers_[root].clear();
  }

  /// Step `producer` now does the work of step `i`.
  void merge(std::size_t producer, std::size_t i) {
    Step& into = graph_.steps[producer];
    const Step& step = graph_.steps[i];
    // No views of the Dense's own result remain: its only reader was removed.
    into.dst = step.dst;
    writer_[root_of(step.dst)] = producer;
    append_layers(into, step);
    drop(i);
  }

  /// Step `i` will not run: removes it as a reader.
  void drop(std::size_t i) {
    gone_[i] = true;
    for (const int src : graph_.steps[i].srcs) {
      auto& readers = readers_[root_of(src)];
      if (const auto it = readers.find(i); it != readers.end()) readers.erase(it);
    }
    auto& writer = writer_[root_of(graph_.steps[i].dst)];
    if (writer == i) writer.reset();
  }

  [[nodiscard]] std::size_t root_of(int value) const { return static_cast<std::size_t>(graph_.root(value)); }

  Graph& graph_;
  ConstantsPool& pool_;
  std::vector<bool> gone_;
  // Indexed by the root of a value: a model may have very many steps, and each is visited once.
  std::vector<std::multiset<std::size_t>> readers_;  ///< steps, once for each time that they read it
  std::vector<std::optional<std::size_t>> writer_;   ///< the first step that makes it
  std::vector<bool> output_;
};

}  // namespace

void fuse(Graph& graph, ConstantsPool& pool) { Fuser(graph, pool).run(); }

}  // namespace lamella::model
