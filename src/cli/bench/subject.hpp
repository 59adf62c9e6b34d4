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

/// A cell made into a model: drawn weights, the same for every way; or the user's file.
class Subject {
 public:
  explicit Subject(const Cell& cell) : cell_(cell) {}
  /// Draws the weights, once; what else needs them does so by itself. Throws ArgumentError for a cell that cannot be.
  void build() const;
  /// Throws ArgumentError and LoadError as the library does.
  [[nodiscard]] Model compile(const Way& way, int threads) const;
  /// The truth: float64, plain loops, on the CPU.
  [[nodiscard]] Model reference(int threads) const;
  [[nodiscard]] const Cell& cell() const noexcept { return cell_; }
  [[nodiscard]] DType dtype() const noexcept { return cell_.dtype.value_or(DType::float32); }
  /// The same random inputs for every way.
  [[nodiscard]] std::vector<Tensor> inputs(const Model& model) const;
  /// Bytes of weights, inputs and outputs, about: what must fit into memory.
  [[nodiscard]] double footprint() const;

 private:
  [[nodiscard]] Model compiled(const Options& options) const;

  Cell cell_;
  mutable std::optional<Sequential> network_;  ///< made by build(): a cell that is left out draws no weights
};

/// A model with inputs and outputs in memory, ready to be called again and again. With one input and one output it is called
/// through predict_into(), else through predict() on host memory.
class Runnable {
 public:
  Runnable(const Subject& subject, Model model, void* stream);
  /// Runs it with poisoned output memory; the outputs on the host.
  [[nodiscard]] std::vector<Tensor> run_once(Clock& clock);
  /// Valid while this object lives.
  [[nodiscard]] Call call();
  /// The dtype with the fewest bits among those that layers say they compute in.
  [[nodiscard]] DType coarsest() const;
  [[nodiscard]] const std::vector<Tensor>& host_inputs() const noexcept { return host_inputs_; }

  /// What explain() says about the program.
  struct Explained {
    std::vector<Work> steps;
    std::string engines;  ///< distinct, in order
    std::string fused;
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
