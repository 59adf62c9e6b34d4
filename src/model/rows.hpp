// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "core/backend.hpp"
#include "core/budget.hpp"
#include "model/graph.hpp"
#include "model/program.hpp"
#include "model/tally.hpp"

/// How the rows of a call are divided: into chunks on a device that works inline, into batches on others, through pinned memory
/// if the device's memory is not host memory.
namespace lamella::model {

/// The first row of an array, and the stride between rows.
struct Source {
  const std::byte* data = nullptr;
  std::size_t row_bytes = 0;
  [[nodiscard]] const void* at(std::int64_t row) const { return data + static_cast<std::size_t>(row) * row_bytes; }
};
struct Target {
  std::byte* data = nullptr;
  std::size_t row_bytes = 0;
  [[nodiscard]] void* at(std::int64_t row) const { return data + static_cast<std::size_t>(row) * row_bytes; }
};

/// The arrays of a call, one per input and output, in the graph's order.
struct Arrays {
  std::span<const Source> inputs;
  std::span<const Target> outputs;
};

/// Arguments of predict_into(). Refilled for each call, it allocates only for the first.
struct CallerArrays {
  std::vector<Shape> samples;  ///< shapes of the inputs' samples
  std::vector<Source> sources;
  std::vector<Target> targets;
};

/// One call of predict() or predict_into(). Refers to objects owned by its caller.
struct Call {
  const std::shared_ptr<const Graph>& graph;
  Arrays arrays;
  std::int64_t rows = 0;
  bool is_host = false;                   ///< the arrays are host memory, else the model's device's
  const std::stop_token* stop = nullptr;  ///< checked between parts of the rows, never within one; null: none
  void* stream = nullptr;                 ///< the caller's, and the call does not wait; null: the session's own
};

/// How rows are divided: each chunk passes through the whole model, so that one layer's output is still in the cache when the
/// next layer reads it, and several chunks run in parallel, so that threads synchronise once per call rather than once per layer.
struct Chunks {
  std::int64_t rows = 0;  ///< rows of a chunk; the last one may have fewer
  std::int64_t count = 0;
  int at_once = 1;         ///< chunks in progress at the same time, each on one thread
  int threads = 1;         ///< threads inside one chunk: more than 1 only if there is one chunk at a time
  double nanoseconds = 0;  ///< estimated time of all chunks on one thread; 0 if one has all rows

  [[nodiscard]] std::int64_t last_rows(std::int64_t of) const { return of - (count - 1) * rows; }
};

/// For a device that works inline. Depends only on its arguments, so that equal calls are divided equally. `most_rows`: limit per
/// chunk, from Options.
[[nodiscard]] Chunks chunks_of(const Graph& graph, std::int64_t rows, int threads, std::int64_t most_rows);
/// For other devices: batches of `most_rows`, one after another.
[[nodiscard]] Chunks batches_of(std::int64_t rows, std::int64_t most_rows);

/// Pinned host memory and device memory through which the rows of host arrays are copied to a device and back. Belongs to a
/// session.
class Staging {
 public:
  Staging(core::Backend& backend, int device, std::shared_ptr<core::MemoryBudget> budget, std::shared_ptr<Tally> tally)
      : backend_(backend), device_(device), budget_(std::move(budget)), tally_(std::move(tally)) {}

  /// Enqueues the copy of `rows` rows, from `first` on, to the device, and zeros for the rest of the program's rows; the host
  /// arrays may be freed when it returns. Returns the device arrays on which to run the program, valid until the next call.
  Arrays upload(core::Stream& stream, const Program& program, const Arrays& host, std::int64_t first, std::int64_t rows);
  /// Enqueues the copy of all outputs to pinned memory.
  void download(core::Stream& stream, const Program& program);
  /// After that has completed: copies `rows` rows of the outputs to their destination.
  void collect(const Program& program, const Arrays& host, std::int64_t first, std::int64_t rows) const;

 private:
  struct Side {
    std::shared_ptr<void> pinned;
    std::shared_ptr<void> device;
    std::size_t bytes = 0;
  };
  void reserve(Side& side, std::size_t bytes);

  core::Backend& backend_;
  int device_;
  std::shared_ptr<core::MemoryBudget> budget_;
  std::shared_ptr<Tally> tally_;
  Side in_;
  Side out_;
  std::vector<Source> inputs_;
  std::vector<Target> outputs_;
};

}  // namespace lamella::model
