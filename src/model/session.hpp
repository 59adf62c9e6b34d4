// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/budget.hpp"
#include "model/program.hpp"
#include "model/rows.hpp"
#include "model/tally.hpp"
#include "model/updates.hpp"

namespace lamella::model {

/// Settings of a session, from the model's Options.
struct SessionOptions {
  core::Backend& backend;
  int device = 0;  ///< its index
  std::size_t max_programs = 32;
  bool graphs = true;
  bool profile = false;
  std::shared_ptr<core::MemoryBudget> budget;
  std::shared_ptr<Tally> tally;
  std::shared_ptr<const Updates> updates;  ///< null if the model is not updatable
};

/// The memory and library state needed to run programs. Belongs to one thread at a time; Model lends sessions from a pool.
class Session {
 public:
  explicit Session(SessionOptions options);
  ~Session();  ///< waits for pending work
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Enqueues a program on rows of the device's memory, from row `first` on: on `native`, a caller's stream, or, if null,
  /// on the session's own. On a device that works inline, the work is then done. If recent pointers recur and the device
  /// has graphs, the program is captured as a graph and replayed. Allocates on the first run of a program, and when it
  /// captures.
  void run(const std::shared_ptr<const Program>& program, const Arrays& arrays, std::int64_t first = 0, void* native = nullptr);
  /// Waits for the work that run() enqueued.
  void synchronize() { stream_->synchronize(); }

  /// Warm-up: runs a program once on scratch buffers, as large as rows of `arrays`, and waits, so that the libraries are
  /// initialised and run() does not allocate.
  void warm_up(const std::shared_ptr<const Program>& program, const Arrays& arrays);
  /// From now on run() adds its work to the graph that is being captured on `native`, a caller's stream. Only run() is allowed
  /// then, with warmed-up programs, on `native`. The graph owns `self`, which is this.
  void join_capture(void* native, const std::shared_ptr<Session>& self) { stream_->join_capture(native, self); }

  [[nodiscard]] core::Stream& stream() noexcept { return *stream_; }
  [[nodiscard]] Staging& staging() noexcept { return staging_; }

  /// Backend::stream_id() of the caller's stream on which run() last enqueued; 0: the session's own, or none.
  [[nodiscard]] std::uint64_t last_stream() const noexcept { return stream_->id(); }
  /// Whether run() could enqueue on another stream without waiting.
  [[nodiscard]] bool is_idle() const noexcept { return stream_->is_idle(); }

  /// For the arguments of the call to which the session is lent.
  [[nodiscard]] CallerArrays& caller_arrays() noexcept { return caller_arrays_; }

 private:
  /// A graph and the pointers it contains.
  struct Captured {
    std::vector<const void*> pointers;
    std::unique_ptr<core::Graph> graph;
    std::shared_ptr<void> counted;
  };
  /// A program bound to this session's memory; inputs and outputs change from run to run.
  struct BoundProgram {
    std::shared_ptr<const Program> program;
    std::vector<std::unique_ptr<ops::PlanState>> states;
    std::vector<const void*> srcs;  ///< of all steps, one after another
    std::vector<ops::Args> args;
    std::list<std::vector<const void*>> seen;  ///< pointers of the last runs without a graph, latest first
    std::list<Captured> captured;              ///< most recently used first
    int failures = 0;                          ///< consecutive failures to capture
    bool cannot_capture = false;
    std::vector<std::string> ranges;        ///< names of the steps in profiles; empty: no ranges
    std::vector<std::int64_t> nanoseconds;  ///< of the steps in the current run; empty: no clock is read
    void execute() const {
      for (std::size_t i = 0; i < args.size(); ++i) program->steps[i].choice.plan->execute(args[i]);
    }
    void execute_in_ranges();
  };
  [[nodiscard]] std::shared_ptr<void> allocate(std::size_t bytes) const;
  BoundProgram& bind(const std::shared_ptr<const Program>& program);
  void reserve_arena(std::size_t bytes);
  void bind_pointers(BoundProgram& bound, const Arrays& arrays, std::int64_t first);
  void note_pointers(BoundProgram& bound);
  /// A graph for these pointers, if they are the same as before.
  core::Graph* graph_for(BoundProgram& bound, const Arrays& arrays, std::int64_t first);
  std::unique_ptr<core::Graph> capture(BoundProgram& bound, const Arrays& arrays, std::int64_t first);

  SessionOptions options_;
  std::shared_ptr<void> counted_;
  std::unique_ptr<core::Stream> stream_;
  std::int64_t seen_updates_ = 0;
  std::shared_ptr<void> arena_;
  std::size_t arena_bytes_ = 0;
  std::vector<std::shared_ptr<void>> warm_up_;  ///< warm_up()'s memory, until its work is known to be done
  Staging staging_;
  CallerArrays caller_arrays_;
  std::vector<const void*> pointers_;  ///< of the current run, for graph_for() and note_pointers()
  std::list<BoundProgram> bound_;      ///< most recently used first
};

}  // namespace lamella::model
