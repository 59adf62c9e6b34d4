// SPDX-License-Identifier: Apache-2.0
// Replaces weights in a running model: everything is prepared in separate memory, and then copied to where it is read.
#include <algorithm>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "core/backend.hpp"
#include "core/float_environment.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

/// Whether two graphs differ only in the values of their constants.
bool same_but_for_numbers(const model::Graph& a, const model::Graph& b) {
  const auto same_value = [](const model::Value& x, const model::Value& y) {
    return x.sample == y.sample && x.dtype == y.dtype && x.root == y.root;
  };
  const auto same_step = [](const model::Step& x, const model::Step& y) {
    return x.desc == y.desc && x.srcs == y.srcs && x.dst == y.dst && x.constants->size() == y.constants->size();
  };
  return a.inputs == b.inputs && a.outputs == b.outputs &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(), same_value) &&
         std::equal(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(), same_step);
}

bool same_numbers(const ops::Constants& a, const ops::Constants& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].dtype() != b[i].dtype() || a[i].bytes() != b[i].bytes()) return false;
    if (a[i].data() != b[i].data() && a[i].bytes() != 0 && std::memcmp(a[i].data(), b[i].data(), a[i].bytes()) != 0) return false;
  }
  return true;
}

}  // namespace

ops::Writes Model::Impl::renewed(const model::NewWeights& changed) const {
  ops::Writes writes;
  std::set<const ops::Constants*> done;
  // No graph can be added now.
  for (const auto& [shapes, rows, living] : living_) {
    const auto graph_now = living.lock();
    if (!graph_now) continue;
    model::ConstantsPool pool_of_new;
    const model::Graph made = make_graph(*changed.spec, shapes, pool_of_new, rows);
    LAMELLA_EXPECTS(
        same_but_for_numbers(*graph_now, made), unsupported,
        "[Model::update_weights] with these values '{}' needs different steps: a layer folds into its neighbour now but did not "
        "before, or the reverse, or a value changes that is part of a quantized layer's step; with_weights() makes a new model",
        core::escaped(spec->name));
    for (std::size_t i = 0; i < made.steps.size(); ++i) {
      const ops::Constants& now = *graph_now->steps[i].constants;
      if (same_numbers(now, *made.steps[i].constants) || !done.insert(&now).second) continue;
      for (ops::Write& write : now.renewed(made.steps[i].constants)) writes.push_back(std::move(write));
    }
  }
  // The elements are not const: this model made them.
  for (const auto& [old, now] : changed.replaced)
    writes.push_back({{old, const_cast<void*>(old->data())}, {now, now->data()}, old->bytes()});
  return writes;
}

model::NewWeights Model::Impl::new_weights(const std::map<std::string, TensorView>& values, void* stream) const {
  std::map<std::string, TensorView> on_host = values;
  std::vector<Tensor> copies;
  model::expect_values(*spec, values, "update_weights", options.device);
  for (auto& [name, value] : on_host) {
    if (core::is_host(value.device())) continue;
    backend.expect_device_memory(options.device.index(), value.data(),
                                 core::format("[Model::update_weights] '{}'", core::escaped(name)).c_str());
  }
  for (auto& [name, value] : on_host) {
    if (core::is_host(value.device())) continue;
    copies.push_back(updates_->fetched(value, stream));
    value = std::as_const(copies.back()).view();
  }
  return model::with_values(*spec, on_host, "update_weights");
}

void Model::Impl::update_weights(const std::map<std::string, TensorView>& values, void* stream) const {
  LAMELLA_EXPECTS(options.updatable, unsupported,
                  "[Model::update_weights] '{}' was made without Options::updatable; with_weights() makes a new model",
                  core::escaped(spec->name));
  LAMELLA_EXPECTS(
      stream == nullptr || !backend.is_captured(options.device.index(), stream), unsupported,
      "[Model::update_weights] the stream is being captured; update '{}' outside the capture: graphs read the weights "
      "where an update writes them",
      core::escaped(spec->name));
  backend.with_relaxed_capture([&] {
    const std::lock_guard one_at_a_time(updates_->mutex());
    updates_->wait();
    const model::NewWeights changed = new_weights(values, stream);  // before calls are kept waiting
    const model::Gate::Alone alone(gate_);
    const ops::Writes writes = renewed(changed);
    std::vector<core::Stream*> sessions;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& session : sessions_) sessions.push_back(&session->stream());
    }
    updates_->write(writes, sessions, stream);
    pool->forget_computed();
  });
}

void Model::update_weights(const std::map<std::string, TensorView>& weights) {
  const core::FloatEnvironment environment;
  impl_->update_weights(weights, nullptr);
}

void Model::update_weights(const std::map<std::string, TensorView>& weights, void* stream) {
  const core::FloatEnvironment environment;
  impl_->update_weights(weights, impl_->stream_of_caller(stream, "update_weights"));
}

}  // namespace lamella
