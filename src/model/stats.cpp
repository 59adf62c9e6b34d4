// SPDX-License-Identifier: Apache-2.0
// Counts what a model keeps.
#include <set>

#include "model/impl.hpp"

namespace lamella {
namespace {

void add_weights(const core::LayerSpec& layer, std::set<const Tensor*>& into) {
  for (const core::Weight& weight : layer.weights) into.insert(weight.value.get());
  if (const core::LayerSpec* inside = core::layer_inside(layer)) add_weights(*inside, into);
  if (const core::ModelSpec* nested = core::nested_model(layer)) {
    for (const auto& each : nested->layers) add_weights(*each, into);
  }
}

}  // namespace

ModelStats Model::Impl::stats() const {
  ModelStats stats;
  stats.sessions = tally->sessions;
  stats.graphs = tally->graphs;
  stats.preparing_seconds = static_cast<double>(tally->preparing_ns) * 1e-9;
  const std::lock_guard lock(mutex_);
  stats.calls = calls_;
  stats.rows = rows_;
  stats.programs = static_cast<std::int64_t>(programs_.size());
  return stats;
}

MemoryBytes Model::Impl::memory_bytes() const {
  std::set<const Tensor*> tensors;
  for (const auto& layer : spec->layers) add_weights(*layer, tensors);
  MemoryBytes bytes;
  bytes.host = pool->add_tensors(tensors) + static_cast<std::size_t>(tally->host_bytes);
  for (const Tensor* tensor : tensors) bytes.host += tensor->bytes();
  if (budget) bytes.device = budget->used();
  return bytes;
}

MemoryBytes Model::memory_bytes() const { return impl_->memory_bytes(); }
ModelStats Model::stats() const { return impl_->stats(); }

}  // namespace lamella
