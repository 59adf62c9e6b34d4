// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <lamella/models.hpp>

#include "cli/bench/ceilings.hpp"
#include "cli/bench/cell.hpp"
#include "cli/bench/clock.hpp"

namespace lamella::bench {

/// The model of a cell: random weights, the same for every way; or the user's file.
class Subject {
 public:
  explicit Subject(const Cell& cell) : cell_(cell) {}
  /// Draws the weights, once; functions that need them call it themselves. Throws ArgumentError for an impossible cell.
  void build() const;
  /// Throws ArgumentError and LoadError as the library does.
  [[nodiscard]] Model compile(const Way& way, int threads) const;
  /// The truth: float64, plain loops, on the CPU.
  [[nodiscard]] Model reference(int threads) const;
  [[nodiscard]] const Cell& cell() const noexcept { return cell_; }
  [[nodiscard]] DType dtype() const noexcept { return cell_.dtype.value_or(DType::float32); }
  /// The same random inputs for every way.
  [[nodiscard]] std::vector<Tensor> inputs(const Model& model) const;
  /// Approximate bytes of weights, inputs and outputs, which must fit into memory.
  [[nodiscard]] double footprint() const;

 private:
  [[nodiscard]] Model compiled(const Options& options) const;

  Cell cell_;
  mutable std::optional<Sequential> network_;  ///< made by build(), so that skipped cells draw no weights
};

/// A model with inputs and outputs in memory, ready for repeated calls. With one input and one output, calls use predict_into(),
/// else predict() on host memory.
class Runnable {
 public:
  Runnable(const Subject& subject, const Model& model, void* stream);
  /// Runs it with poisoned output memory, and returns the outputs on the host.
  [[nodiscard]] std::vector<Tensor> run_once(Clock& clock);
  /// Valid while this object lives.
  [[nodiscard]] Call call();
  /// The narrowest of the layers' compute dtypes.
  [[nodiscard]] DType coarsest() const;
  [[nodiscard]] const std::vector<Tensor>& host_inputs() const noexcept { return host_inputs_; }

  /// Facts about the program, from explain().
  struct Explained {
    std::vector<Work> steps;
    std::string engines;  ///< distinct, in order
    std::string fused;
    std::optional<double> predicted_us;  ///< of one call; nothing if a step has no prediction
  };
  [[nodiscard]] Explained explained() const;

 private:
  Model model_;
  void* stream_;
  std::int64_t batch_;
  std::vector<Tensor> host_inputs_;
  Tensor x_;  ///< on the model's device
  Tensor y_;
  bool single_;
};

}  // namespace lamella::bench
