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

/// An engine with one of the algorithms that a library offers it.
template <typename D>
struct Way {
  const Engine<D>* engine;
  PlanContext context;
  std::string name;  ///< in records
};

/// All ways that do not refuse; where one has been recorded, of the algorithms but the first only that one.
template <typename D>
[[nodiscard]] std::vector<Way<D>> ways(std::span<const Engine<D>* const> engines, const D& desc, const PlanContext& context,
                                       const std::optional<core::TuningRecord>& record) {
  std::vector<Way<D>> result;
  for (const Engine<D>* engine : engines) {
    const int most = record || context.tuning == Tuning::measure ? engine->most_algorithms() : 1;
    for (int n = 0; n < most; ++n) {
      Way<D> way{engine, context, std::string(engine->name())};
      way.context.any_speed = true;
      way.context.algorithm = n;
      if (n > 0) way.name += core::format(", algorithm {}", n);
      if (n > 0 && record && record->engine != way.name) continue;
      if (engine->refuses(desc, way.context).empty()) result.push_back(std::move(way));
    }
  }
  return result;
}

/// The engine measured to be the fastest, or nothing if unknown.
template <typename D>
[[nodiscard]] std::optional<Choice> select_measured(std::span<const Engine<D>* const> engines, const D& desc,
                                                    const std::shared_ptr<const Constants>& constants,
                                                    const PlanContext& context) {
  PlanContext open = context;
  open.any_speed = true;
  const auto candidate = [&](const Engine<D>* engine, const PlanContext& with, std::string_view name) {
    auto copy = constants->copy();
    return Candidate{name, copy, [&, engine, copy](std::int64_t batch) {
                       D part = desc;
                       part.batch = batch;
                       return engine->plan(part, copy, with);
                     }};
  };
  Tuner& tuner = context.tuner == nullptr ? Tuner::of_process() : *context.tuner;
  const auto possible = ways<D>(engines.first(engines.size() - 1), desc, context, tuner.recorded(desc, context));
  std::vector<Candidate> candidates;
  for (const Way<D>& way : possible) candidates.push_back(candidate(way.engine, way.context, way.name));
  auto verdict = tuner.fastest(desc, candidates, candidate(engines.back(), open, engines.back()->name()), context);
  if (!verdict) return std::nullopt;
  Choice choice;
  const auto best =
      std::find_if(possible.begin(), possible.end(), [&](const Way<D>& way) { return way.name == verdict->record.engine; });
  if (verdict->plan) {
    choice.plan = std::move(verdict->plan);
    constants->adopt(*candidates[static_cast<std::size_t>(best - possible.begin())].constants);
  } else {
    choice.plan = best->engine->plan(desc, constants, best->context);
  }
  choice.engine = best->engine->name();
  choice.fused = best->engine->fuses(desc);
  choice.measured =
      core::format("{}{}{}", verdict->time_of(best->name), verdict->is_remembered ? ", measured before" : ", measured",
                   best->context.algorithm > 0 ? core::format(", algorithm {}", best->context.algorithm) : "");
  for (const Engine<D>* engine : engines) {
    if (choice.by_rule.empty() && engine->refuses(desc, context).empty()) choice.by_rule = engine->name();
    if (engine == best->engine) continue;
    std::string why = engine->refuses(desc, open);
    choice.refused.push_back({std::string(engine->name()), why.empty() ? verdict->time_of(engine->name()) : std::move(why)});
  }
  return choice;
}

/// The first engine that does not refuse, or the fastest, if `context` says so and it is known. With `forced`, that engine, or
/// ArgumentError (value) with its refusal; a name that is not in the list is ignored. The last engine of a list is the reference
/// for comparisons.
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
  for (const Engine<D>* engine : engines) {
    std::string why = is_forced && engine->name() != forced ? core::format("engine '{}' was requested", forced)
                                                            : engine->refuses(desc, context);
    if (why.empty()) {
      choice.plan = engine->plan(desc, constants, context);
      choice.engine = engine->name();
      choice.fused = engine->fuses(desc);
      return choice;
    }
    LAMELLA_EXPECTS(engine->name() != forced, value, "engine '{}' cannot do this: {}", forced, why);
    refusals += core::format("{}{}: {}", refusals.empty() ? "" : "; ", engine->name(), why);
    choice.refused.push_back({std::string(engine->name()), std::move(why)});
  }
  core::throw_argument(ErrorCode::value, core::format("no engine can do this: {}", refusals));
}

}  // namespace lamella::ops
