// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "model/graph.hpp"

namespace lamella::model {

/// How the CPU goes through many rows: a chunk at a time through the whole model, so that what one layer writes is still in the
/// cache when the next one reads it, and several chunks side by side, so that threads meet once a call and not once a layer.
struct Chunks {
  std::int64_t rows = 0;  ///< of a chunk; the last one may have fewer
  std::int64_t count = 0;
  int at_once = 1;         ///< chunks in work at the same time, each by one thread
  int threads = 1;         ///< threads inside one chunk: more than 1 only when there is one chunk at a time
  double nanoseconds = 0;  ///< roughly what all chunks take on one thread

  [[nodiscard]] std::int64_t last_rows(std::int64_t of) const { return of - (count - 1) * rows; }
};

/// Depends on its arguments alone, so that the same call is cut the same way. `most_rows`: of a chunk, from Options.
[[nodiscard]] Chunks chunks_of(const Graph& graph, std::int64_t rows, int threads, std::int64_t most_rows);

}  // namespace lamella::model
