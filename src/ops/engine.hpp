// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "ops/constants.hpp"
#include "ops/desc.hpp"

namespace lamella::core {
class Backend;
class MemoryBudget;
class Stream;
}  // namespace lamella::core

namespace lamella::ops {

class Tuner;

/// State that a plan keeps between calls, one per session: library objects whose pointers change from call to call.
class PlanState {
 public:
  virtual ~PlanState() = default;
};

/// The memory of one execution. Pointers are on the plan's device; sizes are those of the plan's Desc.
struct Args {
  std::span<const void* const> srcs;
  void* dst = nullptr;
  void* workspace = nullptr;       ///< Plan::workspace_bytes() bytes, aligned to 64; undefined content
  core::Stream* stream = nullptr;  ///< of the plan's device
  PlanState* state = nullptr;      ///< the result of Plan::make_state(), which may be null
  /// What is before this work on the stream is that of another plan that overlaps(), of the same call: this may begin before that
  /// has ended, and waits for it itself.
  bool overlaps = false;
};

/// An engine prepared for one Desc. Immutable: any number of threads may execute it, each with its own Args.
class Plan {
 public:
  virtual ~Plan() = default;
  /// Enqueues the operation on args.stream (on the CPU: runs it). Makes no decisions, and allocates nothing itself.
  virtual void execute(const Args& args) const = 0;
  [[nodiscard]] virtual std::size_t workspace_bytes() const noexcept { return 0; }
  [[nodiscard]] virtual std::unique_ptr<PlanState> make_state() const { return nullptr; }
  /// Whether its work may begin before that of the plan before it has ended, and lets the next one's do so (Args::overlaps). Then
  /// execute() always enqueues some.
  [[nodiscard]] virtual bool overlaps() const noexcept { return false; }
};

/// A plan that is a function of Args and needs no state.
template <typename F>
class FunctionPlan final : public Plan {
 public:
  FunctionPlan(F run, std::size_t workspace_bytes, bool overlaps)
      : run_(std::move(run)), workspace_bytes_(workspace_bytes), overlaps_(overlaps) {}
  void execute(const Args& args) const override { run_(args); }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return workspace_bytes_; }
  [[nodiscard]] bool overlaps() const noexcept override { return overlaps_; }

 private:
  F run_;
  std::size_t workspace_bytes_;
  bool overlaps_;
};

template <typename F>
[[nodiscard]] std::unique_ptr<Plan> make_plan(F run, std::size_t workspace_bytes = 0, bool overlaps = false) {
  return std::make_unique<FunctionPlan<F>>(std::move(run), workspace_bytes, overlaps);
}

/// The context of planning.
struct PlanContext {
  int threads = 1;                                  ///< CPU threads, at least 1
  int device_index = 0;                             ///< CUDA only
  std::shared_ptr<core::MemoryBudget> budget = {};  ///< limits device memory; null: no limit
  core::Backend* backend = nullptr;                 ///< filled in by the device's OpSet
  Tuning tuning = Tuning::off;                      ///< whether select() asks `tuner`
  Tuner* tuner = nullptr;                           ///< null: the process's
  /// Which of the algorithms that a library offers for a product, in the library's order; engines that ask no library ignore it.
  int algorithm = 0;
  bool overlaps = false;  ///< the plan will be executed with Args::overlaps, if it overlaps()
  bool replays = false;   ///< calls will replay a captured graph; a stack and its layers are then measured as replays
  /// Gets what is measured, which counts as measured now in all that is planned with the same list; null: nobody asks.
  std::vector<std::string>* measured = nullptr;
};

/// One way to do one operation on one device. It fulfils the whole contract of the Desc or refuses with a sentence: what it could
/// do slowly, it accepts.
template <typename D>
class Engine {
 public:
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  /// Empty: accepts. Otherwise the reason, as a sentence without its full stop.
  [[nodiscard]] virtual std::string refuses(const D& desc, const PlanContext& context) const = 0;
  /// PlanContext::algorithm may be less than this; refuses() knows which of them there are.
  [[nodiscard]] virtual int most_algorithms() const noexcept { return 1; }
  /// What is done in the same pass as the product: "", "bias", "activation", "bias+activation". Dense only.
  [[nodiscard]] virtual std::string fuses(const D&) const { return {}; }
  /// What one call is expected to take, in microseconds: counted from the Desc, nothing is run. Nothing if unknown. Means
  /// nothing where the engine refuses.
  [[nodiscard]] virtual std::optional<double> predicted_us(const D&, const PlanContext&) const { return std::nullopt; }
  [[nodiscard]] virtual std::unique_ptr<Plan> plan(const D& desc, std::shared_ptr<const Constants> constants,
                                                   const PlanContext& context) const = 0;

 protected:
  ~Engine() = default;  // engines are static objects; a trivial destructor lets the caller's static objects predict after them
};

/// An engine that was not taken: it refuses, was measured, or is predicted to take longer.
struct Refusal {
  std::string engine;
  std::string why = {};
  std::optional<double> predicted_us = {};  ///< in place of `why`
};

/// The outcome of planning one Desc.
struct Choice {
  std::unique_ptr<Plan> plan;
  std::string engine;
  std::string fused;
  std::vector<Refusal> refused;
  std::optional<double> predicted_us;  ///< what a call was expected to take
  std::string measured;                ///< if a measurement chose the engine: its time, and whether it was measured before
  std::string by_rule;                 ///< then the engine that would have been chosen by prediction
};

/// Whether measurements are for a chain of layers in one step, and by which engine.
struct Weighed {
  std::string engine = {};           ///< the fastest; empty: the layers one by one are faster, or nothing is known
  double gain_us = 0;                ///< what it saves; 0 for the layers one by one
  std::string measured = {};         ///< as in Choice; for the layers one by one the engines' times too; empty: nothing is known
  std::string by_rule = {};          ///< as in Choice, or kOneByOne
  std::vector<Refusal> others = {};  ///< the engines that were not taken, and kOneByOne
};
/// Makes a plan that executes the layers of a stack one by one, for as many rows.
using OneByOne = std::function<std::unique_ptr<Plan>()>;
inline constexpr std::string_view kOneByOne = "one by one";  ///< in place of an engine's name

/// All operations of one kind of device. Thread-safe.
class OpSet {
 public:
  virtual ~OpSet() = default;
  /// `forced`: the name of an engine, ignored by operations that have none of that name. Throws ArgumentError (value) if it
  /// refuses, an internal Error if the constants do not match the Desc.
  [[nodiscard]] Choice plan(const Desc& desc, const std::shared_ptr<const Constants>& constants, const PlanContext& context,
                            std::string_view forced) {
    expect_constants(desc, *constants);
    return plan_checked(desc, constants, context, forced);
  }
  /// Whether an engine takes these layers in one step, whatever the number of rows. `forced`: as above.
  [[nodiscard]] virtual bool takes(const StackDesc&, const PlanContext&, std::string_view) const { return false; }
  /// The microseconds that one step is predicted to save for that number of rows; nothing if no engine takes the layers so. Only
  /// for at most most_gaining_rows().
  [[nodiscard]] virtual std::optional<double> gain(const StackDesc&, const PlanContext&, std::string_view) const {
    return std::nullopt;
  }
  /// 0: the device takes no layers together.
  [[nodiscard]] virtual std::int64_t most_gaining_rows(Math) const noexcept { return 0; }
  /// Whether one step takes less time for that number of rows than its layers one by one, as measured before or, with
  /// Tuning::measure, now. Nothing if no engine takes the layers so. Measures with these constants, and keeps nothing of them.
  [[nodiscard]] virtual std::optional<Weighed> weigh(const StackDesc&, const std::shared_ptr<const Constants>&,
                                                     const PlanContext&, const OneByOne&) const {
    return std::nullopt;
  }
  /// Names of the engines that can be forced, Dense first, best first.
  [[nodiscard]] virtual std::vector<std::string> engines() const = 0;

 private:
  [[nodiscard]] virtual Choice plan_checked(const Desc& desc, const std::shared_ptr<const Constants>& constants,
                                            const PlanContext& context, std::string_view forced) = 0;
};

}  // namespace lamella::ops
