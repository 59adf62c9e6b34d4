// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/budget.hpp"
#include "model/program.hpp"

namespace lamella::model {

/// How a session works, from the model's Options.
struct SessionOptions {
  Device device;
  std::size_t max_programs = 32;
  bool graphs = true;
  bool profile = false;
  std::shared_ptr<core::MemoryBudget> budget;
};

/// The memory and library state that running programs needs. Belongs to one thread at a time; Model lends them from a pool.
class Session {
 public:
  explicit Session(SessionOptions options) : options_(std::move(options)) {}
  ~Session();  ///< waits for work that is under way
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Runs a program on memory of the device: one pointer an input, one an output, in the graph's order. On the CPU the result is
  /// complete on return. On CUDA the work is enqueued, on `native` (a cudaStream_t of the caller's) or, null, on the session's
  /// own stream; a program that meets pointers again that it met lately is captured as a graph and replayed. Allocates when it
  /// sees a program for the first time, and when it captures.
  void run(const std::shared_ptr<const Program>& program, std::span<const void* const> inputs, std::span<void* const> outputs,
           void* native = nullptr);
  /// Waits for what run() enqueued. CUDA only.
  void synchronize();

  /// Runs a program once on memory of its own, of so many bytes, and waits: the libraries are ready then, and run() allocates
  /// nothing for it. CUDA only.
  void rehearse(const std::shared_ptr<const Program>& program, std::size_t input_bytes, std::size_t output_bytes);
  /// From now on run() puts its work into the graph that is being captured on `native`, a cudaStream_t of the caller's, and only
  /// run() is legal, on programs that were rehearsed, and on `native`. The graph keeps `self`, which is this. CUDA only.
  void join_capture(void* native, const std::shared_ptr<Session>& self) { stream_->join_capture(native, self); }

  /// The same on host memory of the caller, for CUDA: begin() copies `rows` rows to the device and enqueues the
  /// program, end() waits and copies as many rows of the outputs. A program of more rows computes zeros in the rest. `inputs` may
  /// go when begin() returns. Between the two no other call of this session is legal.
  void begin(const std::shared_ptr<const Program>& program, std::span<const void* const> inputs, std::int64_t rows);
  void end(std::span<void* const> outputs);

  /// Backend::stream_id of the caller's stream that run() enqueued on last; 0: the session's own, or none.
  [[nodiscard]] std::uint64_t last_stream() const noexcept { return stream_ ? stream_->id() : 0; }
  /// Whether nothing would wait when run() enqueued on another stream.
  [[nodiscard]] bool is_idle() const noexcept { return !stream_ || stream_->is_idle(); }

  /// The sample shape of a one-input model's batch, in memory that lasts: asking allocates once.
  const std::vector<Shape>& shapes_of(const Shape& batch) {
    samples_.resize(1);
    samples_[0] = batch.slice(1, batch.rank());
    return samples_;
  }

 private:
  /// A graph and the pointers that are part of it.
  struct Captured {
    std::vector<const void*> pointers;
    std::unique_ptr<core::Graph> graph;
  };
  /// A program with this session's memory filled in; inputs and outputs change from run to run.
  struct Bound {
    std::shared_ptr<const Program> program;
    std::vector<std::unique_ptr<ops::PlanState>> states;
    std::vector<const void*> srcs;  ///< of all steps, one behind the other
    std::vector<ops::Args> args;
    std::list<std::vector<const void*>> seen;  ///< pointers of the last runs that were no graph, latest first
    std::list<Captured> captured;              ///< most recently used first
    int failures = 0;                          ///< to capture, in succession
    bool cannot_capture = false;
    std::vector<std::string> ranges;  ///< names of the steps in profiles; empty: no ranges
    void execute() const;
  };
  /// Memory on both sides of a copy: pinned on the host, and on the device.
  struct Staging {
    std::shared_ptr<void> host;
    std::shared_ptr<void> device;
    std::size_t bytes = 0;
    void reserve(const SessionOptions& options, std::size_t wanted);
  };

  Bound& bind(const std::shared_ptr<const Program>& program);
  void reserve_arena(std::size_t bytes);
  void point(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs);
  void enqueue(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs, void* native);
  /// A graph for these pointers when they are the same as before.
  core::Graph* graph_for(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs);
  std::unique_ptr<core::Graph> capture(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs);

  SessionOptions options_;
  std::unique_ptr<core::Stream> stream_;  ///< CUDA, from the first run on
  std::shared_ptr<void> arena_;
  std::size_t arena_bytes_ = 0;
  std::vector<std::shared_ptr<void>> rehearsal_;
  Staging staged_inputs_;
  Staging staged_outputs_;
  std::shared_ptr<const Program> begun_;
  std::int64_t begun_rows_ = 0;
  std::vector<Shape> samples_;
  std::vector<const void*> pointers_;  ///< of the run under way: graph_for's and enqueue's
  std::list<Bound> bound_;             ///< most recently used first
};

}  // namespace lamella::model
