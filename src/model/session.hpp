// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "model/program.hpp"

namespace lamella::model {

/// The memory and library state that running programs needs. Belongs to one thread at a time; Model lends them from a pool.
class Session {
 public:
  Session(Device device, std::size_t max_programs) : device_(device), max_programs_(max_programs) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Runs a program on device memory: one pointer an input, one an output, in the graph's order. On the CPU the result is complete on return.
  /// Allocates when it sees the program for the first time, and never after.
  void run(const std::shared_ptr<const Program>& program, std::span<const void* const> inputs, std::span<void* const> outputs);

  /// The sample shape of a one-input model's batch, in memory that lasts: asking allocates once.
  const std::vector<Shape>& shapes_of(const Shape& batch) {
    samples_.resize(1);
    samples_[0] = batch.slice(1, batch.rank());
    return samples_;
  }

 private:
  /// A program with this session's memory filled in; inputs and outputs change from run to run.
  struct Bound {
    std::shared_ptr<const Program> program;
    std::vector<std::unique_ptr<ops::PlanState>> states;
    std::vector<const void*> srcs;  ///< of all steps, one behind the other
    std::vector<ops::Args> args;
  };
  Bound& bind(const std::shared_ptr<const Program>& program);

  Device device_;
  std::size_t max_programs_;
  std::shared_ptr<void> arena_;
  std::size_t arena_bytes_ = 0;
  std::vector<Shape> samples_;
  std::list<Bound> bound_;  ///< most recently used first
};

}  // namespace lamella::model
