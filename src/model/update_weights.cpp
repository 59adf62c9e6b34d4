// SPDX-License-Identifier: Apache-2.0
// Replaces weights in a running model: everything is prepared in separate memory, and then copied to where it is read.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <set>

#include "core/backend.hpp"
#include "core/float_environment.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

using Commits = std::vector<ops::Packed::Commit>;

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

void append(Commits& to, Commits from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

Commits Model::Impl::renewed(const core::ModelSpec& changed) const {
  Commits commits;
  std::set<const ops::Constants*> done;
  // No graph can be added now.
  for (const auto& [shapes, living] : living_) {
    const auto graph_now = living.lock();
    if (!graph_now) continue;
    model::ConstantsPool pool_of_new;
    const model::Graph made = make_graph(changed, shapes, pool_of_new);
    LAMELLA_EXPECTS(
        same_but_for_numbers(*graph_now, made), unsupported,
        "[Model::update_weights] with these values '{}' needs different steps: a layer folds into its neighbour now but did not "
        "before, or the reverse, or a value changes that is part of a quantized layer's step; with_weights() makes a new model",
        core::escaped(spec->name));
    for (std::size_t i = 0; i < made.steps.size(); ++i) {
      const ops::Constants& now = *graph_now->steps[i].constants;
      if (same_numbers(now, *made.steps[i].constants) || !done.insert(&now).second) continue;
      append(commits, now.renewed(made.steps[i].constants));
    }
  }
  return commits;
}

void Model::Impl::update_weights(const std::map<std::string, TensorView>& values) const {
  LAMELLA_EXPECTS(options.updatable, unsupported,
                  "[Model::update_weights] '{}' was made without Options::updatable; with_weights() makes a new model",
                  core::escaped(spec->name));
  const model::Gate::Alone alone(gate_);
  const model::NewWeights changed = model::with_values(*spec, values, "update_weights");
  backend.with_relaxed_capture([&] {
    Commits commits = renewed(*changed.spec);
    const auto stream = backend.create_stream(options.device.index());
    {
      const std::lock_guard lock(mutex_);
      for (const auto& session : sessions_) session->synchronize();
    }
    // From here on only a device can fail.
    for (const auto& commit : commits) commit(*stream);
    for (const auto& [old, now] : changed.replaced) {
      if (old->bytes() != 0) std::memcpy(const_cast<void*>(old->data()), now->data(), old->bytes());
    }
    pool->forget_computed();
    stream->synchronize();
  });
}

void Model::update_weights(const std::map<std::string, TensorView>& weights) {
  const core::FloatEnvironment environment;
  impl_->update_weights(weights);
}

}  // namespace lamella
