// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include "model/impl.hpp"

namespace lamella {
namespace {

/// Programs that calls for so many rows run: for all of the parts that the rows are divided into.
std::vector<std::int64_t> parts_of(std::int64_t rows, std::int64_t most) {
  std::vector<std::int64_t> parts{std::min(rows, most)};
  if (rows > most && rows % most != 0) parts.push_back(rows % most);
  return parts;
}

}  // namespace

void Model::prepare(std::span<const std::int64_t> batches) const {
  const Impl& impl = *impl_;
  const auto shapes = impl.fixed_shapes();
  LAMELLA_EXPECTS(shapes, unsupported, "[Model::prepare] the input shape of '", core::escaped(name()),
                  "' leaves extents open (None)");
  for (const std::int64_t rows : batches)
    LAMELLA_EXPECTS(rows >= 1, value, "[Model::prepare] batches: got ", rows, " rows, allowed 1..");
  const auto graph = impl.graph(*shapes);
  if (impl.options.device.is_cpu()) {
    for (const std::int64_t rows : batches) {
      const model::Chunks chunks = model::chunks_of(*graph, rows, impl.options.threads, impl.options.max_batch);
      static_cast<void>(impl.program(graph, chunks.rows, chunks.threads));
      static_cast<void>(impl.program(graph, chunks.last_rows(rows), chunks.threads));
    }
    return;
  }
  core::cuda_backend().release_retired();
  std::vector<std::int64_t> parts;
  for (const std::int64_t rows : batches) {
    for (const std::int64_t part : parts_of(rows, impl.options.max_batch)) parts.push_back(part);
  }
  std::sort(parts.begin(), parts.end(), std::greater<>());
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  const bool many = std::any_of(batches.begin(), batches.end(), [&](std::int64_t rows) { return rows > impl.options.max_batch; });
  const std::vector<const void*> nothing(impl.input_names.size());
  const std::vector<void*> nowhere(impl.output_names.size());
  std::array<std::optional<Impl::Lease>, 2> lanes;  // as predict() takes them
  for (std::size_t lane = 0; lane < (many ? 2U : 1U); ++lane) {
    auto& session = *lanes[lane].emplace(impl);
    // The first time around buffers grow, the second shows where they stay, the third captures.
    for (int pass = 0; pass < 3; ++pass) {
      for (const std::int64_t part : parts) {
        session.begin(impl.program(graph, impl.bucket(part)), nothing, 0);
        session.end(nowhere);
      }
    }
  }
  for (const std::int64_t part : parts) static_cast<void>(impl.program(graph, part));  // predict_into() pads nothing
}

}  // namespace lamella
