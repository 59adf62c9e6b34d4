// SPDX-License-Identifier: Apache-2.0
#include "model/chunks.hpp"

#include <algorithm>

namespace lamella::model {
namespace {

/// Rows of a chunk that is cut off for another thread: fewer read the kernels too often. The second number is for kernels that
/// are larger than a core's own cache.
constexpr std::int64_t kLeastRows = 16;
constexpr std::int64_t kLeastRowsOfLarge = 64;
constexpr std::int64_t kLargeKernel = 400'000;    ///< elements
constexpr std::int64_t kManyRows = 256;           ///< of a chunk: more do not make reading the kernels cheaper
constexpr std::int64_t kCachedElements = 32'768;  ///< of the widest value that stay near
constexpr double kLeastNanoseconds = 3'000;       ///< of work that another thread takes over

bool is_dense(const ops::Desc& desc) {
  return std::holds_alternative<ops::DenseDesc>(desc) || std::holds_alternative<ops::QuantizedDenseDesc>(desc);
}

/// Roughly, for one row on one thread.
double nanoseconds_of_row(const Graph& graph) {
  double sum = 0;
  for (const Step& step : graph.steps) {
    sum += static_cast<double>(flops_of(step.desc)) / 200;
    if (!is_dense(step.desc)) sum += static_cast<double>(bytes_of(step.desc)) / 20;
  }
  return sum;
}

std::int64_t widest(const Graph& graph) {
  std::int64_t most = 1;
  for (const Value& value : graph.values) most = std::max(most, value.sample.elements());
  return most;
}

std::int64_t least_rows(const Graph& graph) {
  for (const Step& step : graph.steps) {
    const auto large = [](const auto* dense) { return dense != nullptr && dense->inputs * dense->units > kLargeKernel; };
    if (large(std::get_if<ops::DenseDesc>(&step.desc)) || large(std::get_if<ops::QuantizedDenseDesc>(&step.desc)))
      return kLeastRowsOfLarge;
  }
  return kLeastRows;
}

std::int64_t pieces(std::int64_t of, std::int64_t size) { return of / size + (of % size == 0 ? 0 : 1); }

}  // namespace

Chunks chunks_of(const Graph& graph, std::int64_t rows, int threads, std::int64_t most_rows) {
  Chunks chunks;
  chunks.rows = rows;
  if (rows == 0) return chunks;
  chunks.nanoseconds = nanoseconds_of_row(graph) * static_cast<double>(rows);
  const std::int64_t near = std::min(most_rows, std::max(kManyRows, kCachedElements / widest(graph)));
  const auto worth = static_cast<std::int64_t>(std::min(chunks.nanoseconds / kLeastNanoseconds, 1e6));
  chunks.at_once = static_cast<int>(std::clamp<std::int64_t>(std::min(rows / least_rows(graph), worth), 1, threads));
  const std::int64_t rounds = pieces(rows, near * chunks.at_once);
  chunks.rows = pieces(rows, rounds * chunks.at_once);
  chunks.count = pieces(rows, chunks.rows);
  if (chunks.at_once == 1) chunks.threads = threads;
  return chunks;
}

}  // namespace lamella::model
