// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <type_traits>
#include <utility>

#include "ops/engine.hpp"
#include "ops/tuner.hpp"

namespace lamella::ops {

/// The engine measured to be the fastest, or nothing if unknown.
template <typename D>
[[nodiscard]] std::optional<Choice> select_measured(std::span<const Engine<D>* const> engines, const D& desc,
                                                    const std::shared_ptr<const Constants>& constants,
                                                    const PlanContext& context) {
  PlanContext open = context;
  open.any_speed = true;
  const auto candidate = [&](const Engine<D>* engine) {
    auto copy = constants->copy();
    return Candidate{engine->name(), copy, [&, engine, copy](std::int64_t batch) {
                       D part = desc;
                       part.batch = batch;
                       return engine->plan(part, copy, open);
                     }};
  };
  std::vector<Candidate> candidates;
  for (const Engine<D>* engine : engines.first(engines.size() - 1)) {
    if (engine->refuses(desc, open).empty()) candidates.push_back(candidate(engine));
  }
  Tuner& tuner = context.tuner == nullptr ? Tuner::of_process() : *context.tuner;
  auto verdict = tuner.fastest(desc, candidates, candidate(engines.back()), context);
  if (!verdict) return std::nullopt;
  Choice choice;
  if (verdict->plan) {
    choice.plan = std::move(verdict->plan);
    for (const Candidate& c : candidates) {
      if (c.engine == verdict->record.engine) constants->adopt(*c.constants);
    }
  }
  for (const Engine<D>* engine : engines) {
    if (choice.by_rule.empty() && engine->refuses(desc, context).empty()) choice.by_rule = engine->name();
    if (engine->name() == verdict->record.engine) {
      if (!choice.plan) choice.plan = engine->plan(desc, constants, open);
      choice.engine = engine->name();
      choice.fused = engine->fuses(desc);
      choice.measured =
          core::format("{}{}", verdict->time_of(choice.engine), verdict->is_remembered ? ", measured before" : ", measured");
    } else {
      std::string why = engine->refuses(desc, open);
      choice.refused.push_back({std::string(engine->name()), why.empty() ? verdict->time_of(engine->name()) : std::move(why)});
    }
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
