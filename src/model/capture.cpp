// SPDX-License-Identifier: Apache-2.0
// predict_into() on a stream that the caller is capturing: its work becomes part of the caller's graph.
#include <algorithm>

#include "model/impl.hpp"

namespace lamella {

void Model::Impl::capture_into(const std::shared_ptr<const model::Graph>& graph_of, std::int64_t rows, const RowBytes& bytes,
                               void* stream, const Run& run) const {
  if (rows == 0) return;
  const std::int64_t part = std::min(rows, options.max_batch);
  const std::int64_t rest = rows % part;
  core::cuda_backend().beside_captures([&] {
    // The graph may run at any time from now on, beside any other call: it has a session of its own, and keeps it.
    const auto session = std::make_shared<model::Session>(model::SessionOptions{options.device, 2, false, false, budget});
    const auto ready = [&](std::int64_t batch) {
      auto made = program(graph_of, batch);
      session->rehearse(made, bytes.input * static_cast<std::size_t>(batch), bytes.output * static_cast<std::size_t>(batch));
      return made;
    };
    const auto whole = ready(part);
    const auto last = rest == 0 ? whole : ready(rest);
    session->join_capture(stream, session);
    for (std::int64_t row = 0; row < rows; row += part) run(*session, rows - row < part ? last : whole, row);
  });
}

}  // namespace lamella
