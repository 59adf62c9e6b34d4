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

/// An engine that can do what is to be done.
struct Candidate {
  std::string_view engine;
  std::shared_ptr<const Constants> constants;  ///< of its own: what losers make of the weights is lost with them
  std::function<std::unique_ptr<Plan>(std::int64_t batch)> plan;
};

/// Measures engines and remembers which was the fastest. Thread-safe; one measurement at a time.
class LAMELLA_API Tuner {
 public:
  using Clock = double (*)();  ///< seconds since any moment
  Tuner(std::string file, Clock clock) : records_(std::move(file)), clock_(clock) {}
  /// What keeps its records in core::tuning_file(). Never destroyed.
  [[nodiscard]] static Tuner& of_process();

  struct Verdict {
    core::TuningRecord record;
    bool is_remembered = false;  ///< from an earlier measurement
    std::unique_ptr<Plan> plan;  ///< the one that was measured
    /// "3.1 us", or that the engine was not measured.
    [[nodiscard]] std::string time_of(std::string_view engine) const;
  };
  /// The fastest at a DenseDesc or QuantizedDenseDesc, as known; with Tuning::measure, as found out now. Nothing where it is not
  /// known, where there is nothing to choose, and for every other operation. `candidates` are in the device's order: of two as
  /// fast as each other the first is taken. What `reference` gives for a few rows is what the fastest must give.
  [[nodiscard]] std::optional<Verdict> fastest(const Desc& desc, std::span<const Candidate> candidates,
                                               const Candidate& reference, const PlanContext& context);
  /// Why the file of records is not used, or empty.
  [[nodiscard]] std::string trouble() const { return records_.trouble(); }

 private:
  core::TuningRecords records_;
  Clock clock_;
  core::Mutex measuring_;
};

}  // namespace lamella::ops
