// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/tuning_records.hpp"
#include "ops/engine.hpp"

namespace lamella::ops {

/// An engine that accepts the operation.
struct Candidate {
  std::string_view engine;
  std::shared_ptr<const Constants> constants;  ///< its own copy, so that forms made by losers are discarded with it
  std::function<std::unique_ptr<Plan>(std::int64_t batch)> plan;
};

/// Measures engines and remembers which was the fastest. Thread-safe; one measurement at a time.
class LAMELLA_API Tuner {
 public:
  using Clock = double (*)();  ///< seconds since an arbitrary moment
  Tuner(std::string file, Clock clock) : records_(std::move(file)), clock_(clock) {}
  /// The process's tuner, with records in core::tuning_file(). Never destroyed.
  [[nodiscard]] static Tuner& of_process();

  struct Verdict {
    core::TuningRecord record;
    bool is_remembered = false;  ///< from an earlier measurement
    std::unique_ptr<Plan> plan;  ///< the plan that was measured
    [[nodiscard]] std::optional<double> microseconds_of(std::string_view engine) const;
    /// "3.1 us", or that the engine was not measured.
    [[nodiscard]] std::string time_of(std::string_view engine) const;
  };
  /// What has been measured of an operation on this machine.
  [[nodiscard]] std::optional<core::TuningRecord> recorded(const Desc& desc, const PlanContext& context);
  /// The fastest engine for a DenseDesc, QuantizedDenseDesc or StackDesc, from records, or measured now with Tuning::measure.
  /// Nothing if unknown, if there is no choice, and for every other operation. `candidates` are in the device's order: of two
  /// equally fast ones the first is taken. The fastest must match `reference` on a few rows, in a StackDesc on many.
  [[nodiscard]] std::optional<Verdict> fastest(const Desc& desc, std::span<const Candidate> candidates,
                                               const Candidate& reference, const PlanContext& context);
  /// Why the file of records is not used; empty if it is.
  [[nodiscard]] std::string trouble() const { return records_.trouble(); }

 private:
  core::TuningRecords records_;
  Clock clock_;
  core::Mutex measuring_;
};

}  // namespace lamella::ops
