// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <set>

#include "model/graph.hpp"

namespace lamella::model {
namespace {

/// Looks at a graph step by step; a step that was merged into another is marked and swept at the end.
class Fuser {
  using What = Recipe::What;

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
        attach(i);
      }
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < graph_.steps.size(); ++i) {
      if (gone_[i]) continue;
      if (kept != i) graph_.steps[kept] = std::move(graph_.steps[i]);
      ++kept;
    }
    graph_.steps.resize(kept);
  }

 private:
  /// Marks steps whose result reaches no output: branches that a nested model has and its caller does not use.
  void drop_unread() {
    for (std::size_t i = graph_.steps.size(); i-- > 0;) {
      const std::size_t root = root_of(graph_.steps[i].dst);
      if (readers_[root].empty() && !output_[root]) drop(i);
    }
  }

  /// The step before `i` that made its only source, when it is a Dense without activation whose result nobody else sees.
  std::optional<std::size_t> sole_dense_before(std::size_t i) {
    const std::size_t root = root_of(graph_.steps[i].srcs.at(0));
    if (readers_[root].size() != 1 || output_[root] || !writer_[root] || *writer_[root] >= i) return std::nullopt;
    const auto* dense = std::get_if<ops::DenseDesc>(&graph_.steps[*writer_[root]].desc);
    return dense != nullptr && dense->activation.kind == ActivationKind::Linear ? writer_[root] : std::nullopt;
  }

  void attach(std::size_t i) {
    const auto producer = sole_dense_before(i);
    if (!producer) return;
    Step& step = graph_.steps[i];
    auto& dense = std::get<ops::DenseDesc>(graph_.steps[*producer].desc);
    const auto& activation = std::get<ops::ActivationDesc>(step.desc);
    if (activation.dtype != dense.dtype) return;
    dense.activation = activation.activation;
    merge(*producer, i);
  }

  /// (x . K + b) * s + o  =  x . (K * s) + (b * s + o), column by column. Only where weights are not rounded to 16 bits first.
  bool fold_into_producer(std::size_t i) {
    const auto producer = sole_dense_before(i);
    if (!producer) return false;
    const auto& affine = std::get<ops::AffineDesc>(graph_.steps[i].desc);
    auto& dense = std::get<ops::DenseDesc>(graph_.steps[*producer].desc);
    if (dense.dtype != affine.dtype || !wide(dense.dtype)) return false;
    const bool per_unit = affine.channels == dense.units && affine.inner == 1;
    if (!per_unit && affine.channels != 1) return false;
    const ops::Constants& before = *graph_.steps[*producer].constants;
    const ops::Constants& factors = *graph_.steps[i].constants;
    const auto at = [&](const std::vector<double>& v, std::int64_t unit) {
      return v[per_unit ? static_cast<std::size_t>(unit) : 0];
    };
    const DType dtype = dense.dtype;
    const std::int64_t units = dense.units;
    const auto kernel = pool_.computed({What::kernel_scaled, dtype, {before.values()[0], factors.values()[0]}}, [&] {
      std::vector<double> values = numbers(before[0]);
      const std::vector<double> scale = numbers(factors[0]);
      for (std::size_t k = 0; k < values.size(); ++k) values[k] *= at(scale, static_cast<std::int64_t>(k) % units);
      return Tensor::of<double>(values, before[0].shape()).to(dtype);
    });
    const auto old_bias = dense.has_bias ? before.values()[1] : nullptr;
    const auto bias = pool_.computed({What::bias_scaled, dtype, {old_bias, factors.values()[0], factors.values()[1]}}, [&] {
      const std::vector<double> scale = numbers(factors[0]);
      const std::vector<double> offset = numbers(factors[1]);
      std::vector<double> values = old_bias ? numbers(*old_bias) : std::vector<double>(static_cast<std::size_t>(units), 0.0);
      for (std::int64_t u = 0; u < units; ++u) {
        auto& v = values[static_cast<std::size_t>(u)];
        v = v * at(scale, u) + at(offset, u);
      }
      return Tensor::of<double>(values, Shape{units}).to(dtype);
    });
    dense.has_bias = true;
    graph_.steps[*producer].constants = pool_.get({kernel, bias});
    merge(*producer, i);
    return true;
  }

  /// (x * s) . K + b  =  x . (s * K) + b, row by row; with an offset the sum would be rounded differently, so only without.
  void fold_into_consumer(std::size_t i) {
    const Step& step = graph_.steps[i];
    const std::size_t root = root_of(step.dst);
    if (readers_[root].size() != 1 || output_[root]) return;
    const auto& affine = std::get<ops::AffineDesc>(step.desc);
    const std::size_t consumer_index = *readers_[root].begin();
    Step& consumer = graph_.steps[consumer_index];
    auto* dense = std::get_if<ops::DenseDesc>(&consumer.desc);
    if (dense == nullptr || dense->dtype != affine.dtype || !wide(dense->dtype) || root_of(consumer.srcs.at(0)) != root) return;
    const bool per_input = affine.channels == dense->inputs && affine.inner == 1;
    if (!per_input && affine.channels != 1) return;
    const std::vector<double> scale = numbers((*step.constants)[0]);
    const std::vector<double> offset = numbers((*step.constants)[1]);
    if (std::any_of(offset.begin(), offset.end(), [](double o) { return o != 0.0; })) return;
    const ops::Constants& before = *consumer.constants;
    const std::int64_t units = dense->units;
    const DType dtype = dense->dtype;
    const auto kernel = pool_.computed({What::kernel_of_scaled, dtype, {before.values()[0], step.constants->values()[0]}}, [&] {
      std::vector<double> values = numbers(before[0]);
      for (std::size_t k = 0; k < values.size(); ++k) values[k] *= scale[per_input ? k / static_cast<std::size_t>(units) : 0];
      return Tensor::of<double>(values, before[0].shape()).to(dtype);
    });
    ConstantsPool::Values constants = before.values();
    constants[0] = kernel;
    consumer.constants = pool_.get(constants);
    consumer.srcs[0] = step.srcs[0];
    consumer.layers.insert(consumer.layers.begin(), step.layers.begin(), step.layers.end());
    drop(i);
    readers_[root_of(consumer.srcs[0])].insert(consumer_index);
    readers_[root].clear();
  }

  /// Step `i` is done by the step `producer` now.
  void merge(std::size_t producer, std::size_t i) {
    Step& into = graph_.steps[producer];
    const Step& step = graph_.steps[i];
    // Views of the Dense's own result do not outlive it: its only reader is gone.
    into.dst = step.dst;
    writer_[root_of(step.dst)] = producer;
    for (const std::string& layer : step.layers) {
      if (into.layers.empty() || into.layers.back() != layer) into.layers.push_back(layer);
    }
    drop(i);
  }

  /// Step `i` will not be run: it reads nothing any more.
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
  static bool wide(DType dtype) { return dtype == DType::float32 || dtype == DType::float64; }
  static std::vector<double> numbers(const Tensor& tensor) {
    const Tensor converted = tensor.to(DType::float64);
    const auto span = converted.span<double>();
    return {span.begin(), span.end()};
  }

  Graph& graph_;
  ConstantsPool& pool_;
  std::vector<bool> gone_;
  // By the root of a value: a model may have very many steps, and each is looked at once.
  std::vector<std::multiset<std::size_t>> readers_;  ///< steps, once for each time that they read it
  std::vector<std::optional<std::size_t>> writer_;   ///< the first step that makes it
  std::vector<bool> output_;
};

}  // namespace

void fuse(Graph& graph, ConstantsPool& pool) { Fuser(graph, pool).run(); }

}  // namespace lamella::model
