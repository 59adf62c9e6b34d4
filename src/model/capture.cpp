// SPDX-License-Identifier: Apache-2.0
// predict_into() on a stream that the caller is capturing: its work becomes part of the caller's graph.
#include "model/impl.hpp"

namespace lamella {

void Model::Impl::capture(const model::Call& call) const {
  const model::Chunks batches = model::batches_of(call.rows, options.max_batch);
  if (batches.count == 0) return;
  backend.with_relaxed_capture([&] {
    // From now on the graph may run at any time, concurrently with any other call: it owns its own session.
    const auto session = std::make_shared<model::Session>(
        model::SessionOptions{backend, options.device.index(), 2, /*graphs=*/false, /*profile=*/false, budget, tally, updates_});
    const auto ready = [&](std::int64_t rows) {
      auto made = program(call.graph, rows);
      session->warm_up(made, call.arrays);
      return made;
    };
    const std::int64_t last_rows = batches.last_rows(call.rows);
    const auto whole = ready(batches.rows);
    const auto last = last_rows == batches.rows ? whole : ready(last_rows);
    session->join_capture(call.stream, session);
    for (std::int64_t i = 0; i < batches.count; ++i)
      session->run(i == batches.count - 1 ? last : whole, call.arrays, i * batches.rows, call.stream);
  });
}

}  // namespace lamella
