// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "ops/engine.hpp"
#include "ops/tuner.hpp"

namespace lamella::ops {

/// An engine, and what it is expected to take if it accepts.
template <typename D>
struct Ranked {
  const Engine<D>* engine;
  std::optional<double> predicted_us;
};

/// The engines, the least predicted time first; those without a prediction come last, in the order of the list. All are in that
/// order where a row's bits must not depend on the batch size, and so the choice must not either.
template <typename D>
[[nodiscard]] std::vector<Ranked<D>> ranked(std::span<const Engine<D>* const> engines, const D& desc,
                                            const PlanContext& context) {
  bool predicts = true;
  if constexpr (requires { desc.determinism; }) predicts = desc.determinism != Determinism::batch_invariant;
  std::vector<Ranked<D>> result;
  for (const Engine<D>* engine : engines)
    result.push_back({engine, predicts ? engine->predicted_us(desc, context) : std::nullopt});
  std::stable_sort(result.begin(), result.end(), [](const Ranked<D>& a, const Ranked<D>& b) {
    return a.predicted_us && (!b.predicted_us || *a.predicted_us < *b.predicted_us);
  });
  return result;
}

template <typename D>
[[nodiscard]] bool comes_before(std::span<const Engine<D>* const> engines, const Engine<D>* one, const Engine<D>* other) {
  const auto end = std::find(engines.begin(), engines.end(), other);
  return std::find(engines.begin(), end, one) != end;
}

/// An engine with one of the algorithms that a library offers it.
template <typename D>
struct Way {
  Ranked<D> engine;
  PlanContext context;
  std::string name;  ///< in records
};

/// All ways of the ranked engines that do not refuse; where one has been recorded, of the algorithms but the first only that one.
template <typename D>
[[nodiscard]] std::vector<Way<D>> ways(const std::vector<Ranked<D>>& engines, const D& desc, const PlanContext& context,
                                       const std::optional<core::TuningRecord>& record) {
  std::vector<Way<D>> result;
  for (const Ranked<D>& engine : engines) {
    const int most = record || context.tuning == Tuning::measure ? engine.engine->most_algorithms() : 1;
    for (int n = 0; n < most; ++n) {
      Way<D> way{engine, context, std::string(engine.engine->name())};
      way.context.algorithm = n;
      if (n > 0) way.name += core::format(", algorithm {}", n);
      if (n > 0 && record && record->engine != way.name) continue;
      if (engine.engine->refuses(desc, way.context).empty()) result.push_back(std::move(way));
    }
  }
  return result;
}

/// The engine measured to be the fastest, or nothing if unknown. The last of `engines` is the reference; it is a candidate only
/// if it predicts its time, since one that does not may take very long.
template <typename D>
[[nodiscard]] std::optional<Choice> select_measured(std::span<const Engine<D>* const> engines, const D& desc,
                                                    const std::shared_ptr<const Constants>& constants,
                                                    const PlanContext& context) {
  const auto candidate = [&](const Engine<D>* engine, const PlanContext& with, std::string_view name) {
    auto copy = constants->copy();
    return Candidate{name, copy, [&, engine, copy](std::int64_t batch) {
                       D part = desc;
                       part.batch = batch;
                       return engine->plan(part, copy, with);
                     }};
  };
  Tuner& tuner = context.tuner == nullptr ? Tuner::of_process() : *context.tuner;
  std::vector<Ranked<D>> order = ranked(engines, desc, context);
  std::erase_if(order, [&](const Ranked<D>& one) { return one.engine == engines.back() && !one.predicted_us; });
  const auto possible = ways<D>(order, desc, context, tuner.recorded(desc, context));
  std::vector<Candidate> candidates;
  for (const Way<D>& way : possible) candidates.push_back(candidate(way.engine.engine, way.context, way.name));
  auto verdict = tuner.fastest(desc, candidates, candidate(engines.back(), context, engines.back()->name()), context);
  if (!verdict) return std::nullopt;
  Choice choice;
  const auto best =
      std::find_if(possible.begin(), possible.end(), [&](const Way<D>& way) { return way.name == verdict->record.engine; });
  const Engine<D>* const chosen = best->engine.engine;
  if (verdict->plan) {
    choice.plan = std::move(verdict->plan);
    constants->adopt(*candidates[static_cast<std::size_t>(best - possible.begin())].constants);
  } else {
    choice.plan = chosen->plan(desc, constants, best->context);
  }
  choice.engine = chosen->name();
  choice.fused = chosen->fuses(desc);
  choice.predicted_us = best->engine.predicted_us;
  choice.by_rule = possible.front().engine.engine->name();
  choice.measured =
      core::format("{}{}{}", verdict->time_of(best->name), verdict->is_remembered ? ", measured before" : ", measured",
                   best->context.algorithm > 0 ? core::format(", algorithm {}", best->context.algorithm) : "");
  for (const Engine<D>* engine : engines) {
    if (engine == chosen) continue;
    std::string why = engine->refuses(desc, context);
    choice.refused.push_back({std::string(engine->name()), why.empty() ? verdict->time_of(engine->name()) : std::move(why)});
  }
  return choice;
}

/// The first engine of ranked() that does not refuse; or the one measured to be the fastest, if `context` says so and it is
/// known. With `forced`, that engine, or ArgumentError (value) with its refusal; a name that is not in the list is ignored. Of
/// the engines that come after the chosen one, only those that the list has before it are asked why they have no prediction:
/// asking may take long.
template <typename D>
[[nodiscard]] Choice select(std::span<const Engine<D>* const> engines, const D& desc,
                            const std::shared_ptr<const Constants>& constants, const PlanContext& context,
                            std::string_view forced = {}) {
  const bool is_forced =
      std::any_of(engines.begin(), engines.end(), [&](const Engine<D>* engine) { return engine->name() == forced; });
  if constexpr (std::is_same_v<D, DenseDesc> || std::is_same_v<D, QuantizedDenseDesc>) {
    if (!is_forced && context.tuning != Tuning::off) {
      if (auto choice = select_measured(engines, desc, constants, context)) return *std::move(choice);
    }
  }
  Choice choice;
  std::string refusals;
  const Engine<D>* chosen = nullptr;
  for (const auto& [engine, predicted_us] : ranked(engines, desc, context)) {
    if (chosen != nullptr && (predicted_us || !comes_before(engines, engine, chosen))) {
      if (predicted_us && !is_forced) choice.refused.push_back({std::string(engine->name()), {}, predicted_us});
      continue;
    }
    std::string why = is_forced && engine->name() != forced ? core::format("engine '{}' was requested", forced)
                                                            : engine->refuses(desc, context);
    if (why.empty()) {
      if (chosen != nullptr) continue;
      chosen = engine;
      choice.plan = engine->plan(desc, constants, context);
      choice.engine = engine->name();
      choice.fused = engine->fuses(desc);
      choice.predicted_us = predicted_us;
      continue;
    }
    LAMELLA_EXPECTS(engine->name() != forced, value, "engine '{}' cannot do this: {}", forced, why);
    refusals += core::format("{}{}: {}", refusals.empty() ? "" : "; ", engine->name(), why);
    choice.refused.push_back({std::string(engine->name()), std::move(why)});
  }
  if (chosen == nullptr) core::throw_argument(ErrorCode::value, core::format("no engine can do this: {}", refusals));
  return choice;
}

}  // namespace lamella::ops
