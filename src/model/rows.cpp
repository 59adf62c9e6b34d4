// SPDX-License-Identifier: Apache-2.0
#include "model/rows.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "core/threads.hpp"
#include "model/impl.hpp"

namespace lamella::model {
namespace {

/// Least rows of a chunk for another thread: smaller chunks read the kernels too often. The second number is for kernels larger
/// than a core's own cache.
constexpr std::int64_t kLeastRows = 16;
constexpr std::int64_t kLeastRowsOfLarge = 64;
constexpr std::int64_t kLargeKernel = 400'000;    ///< elements
constexpr std::int64_t kManyRows = 256;           ///< rows of a chunk: more do not make reading the kernels cheaper
constexpr std::int64_t kCachedElements = 32'768;  ///< elements of the widest value that stay in cache
constexpr double kLeastNanoseconds = 3'000;       ///< least work that another thread takes over

bool is_dense(const ops::Desc& desc) {
  return std::holds_alternative<ops::DenseDesc>(desc) || std::holds_alternative<ops::QuantizedDenseDesc>(desc);
}

/// Estimate for one row on one thread.
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
  if (rows < kLeastRows && rows <= most_rows) {  // without looking at the graph
    chunks.count = 1;
    chunks.threads = threads;
    return chunks;
  }
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

Chunks batches_of(std::int64_t rows, std::int64_t most_rows) {
  Chunks chunks;
  chunks.rows = std::min(rows, most_rows);
  if (rows != 0) chunks.count = pieces(rows, chunks.rows);
  return chunks;
}

namespace {

/// Calls f(slot, offset) for the slots of one kind, each at an aligned offset of one block of memory; the block's size.
template <typename F>
std::size_t laid_out(const Program& program, Slot::Kind kind, const F& f) {
  std::size_t at = 0;
  for (const Slot& slot : program.slots) {
    if (slot.kind != kind) continue;
    f(slot, at);
    at += aligned(slot.bytes);
  }
  return at;
}

std::size_t bytes_of_all(const Program& program, Slot::Kind kind) {
  return laid_out(program, kind, [](const Slot&, std::size_t) {});
}

std::byte* bytes_at(const std::shared_ptr<void>& memory, std::size_t offset) {
  return static_cast<std::byte*>(memory.get()) + offset;
}

}  // namespace

void Staging::reserve(Side& side, std::size_t bytes) {
  if (bytes <= side.bytes) return;
  auto charge = core::charge(budget_, bytes, "input and output buffers");
  auto device = core::charged(backend_.allocate(device_, bytes), std::move(charge));
  auto counts = counted(tally_, &Tally::host_bytes, static_cast<std::int64_t>(bytes));
  side.pinned = core::charged(backend_.allocate_pinned(device_, bytes), std::move(counts));
  side.device = std::move(device);
  side.bytes = bytes;
}

Arrays Staging::upload(core::Stream& stream, const Program& program, const Arrays& host, std::int64_t first, std::int64_t rows) {
  reserve(in_, bytes_of_all(program, Slot::Kind::input));
  reserve(out_, bytes_of_all(program, Slot::Kind::output));
  inputs_.resize(host.inputs.size());
  outputs_.resize(host.outputs.size());
  stream.switch_to(nullptr);
  laid_out(program, Slot::Kind::input, [&](const Slot& slot, std::size_t offset) {
    std::byte* const pinned = bytes_at(in_.pinned, offset);
    const Source& source = host.inputs[slot.at];
    const std::size_t given = source.row_bytes * static_cast<std::size_t>(rows);
    if (given != 0) std::memcpy(pinned, source.at(first), given);
    if (given != slot.bytes) std::memset(pinned + given, 0, slot.bytes - given);
    stream.copy(bytes_at(in_.device, offset), pinned, slot.bytes);
    inputs_[slot.at] = {bytes_at(in_.device, offset), source.row_bytes};
  });
  laid_out(program, Slot::Kind::output, [&](const Slot& slot, std::size_t offset) {
    outputs_[slot.at] = {bytes_at(out_.device, offset), host.outputs[slot.at].row_bytes};
  });
  return {inputs_, outputs_};
}

void Staging::download(core::Stream& stream, const Program& program) {
  stream.copy(out_.pinned.get(), out_.device.get(), bytes_of_all(program, Slot::Kind::output));
}

void Staging::collect(const Program& program, const Arrays& host, std::int64_t first, std::int64_t rows) const {
  laid_out(program, Slot::Kind::output, [&](const Slot& slot, std::size_t offset) {
    const Target& target = host.outputs[slot.at];
    const std::size_t wanted = target.row_bytes * static_cast<std::size_t>(rows);
    if (wanted != 0) std::memcpy(target.at(first), bytes_at(out_.pinned, offset), wanted);
  });
}

}  // namespace lamella::model

namespace lamella {
namespace {

using model::Call;
using model::Chunks;
using ProgramPtr = std::shared_ptr<const model::Program>;

bool is_stopped(const Call& call) { return call.stop != nullptr && call.stop->stop_requested(); }

[[noreturn]] void throw_stopped(const Call& call, std::int64_t begun) {
  throw Error(ErrorCode::cancelled,
              core::format("[Model::predict] cancelled after {} of {} rows were started", begun, call.rows));
}

/// Batches alternate between two sessions: while one computes, the other's rows are copied.
template <typename Impl>
void run_staged(const Impl& impl, const Call& call) {
  struct Lane {
    std::optional<typename Impl::Lease> lease;
    ProgramPtr under_way;
    std::int64_t first = 0;
    std::int64_t rows = 0;
  };
  std::array<Lane, 2> lanes;
  const auto finish = [&](Lane& lane) {
    const ProgramPtr program = std::exchange(lane.under_way, nullptr);
    if (!program) return;
    model::Session& session = **lane.lease;
    session.synchronize();
    session.staging().collect(*program, call.arrays, lane.first, lane.rows);
    lane.lease->absolve();
  };
  const Chunks batches = model::batches_of(call.rows, impl.options.max_batch);
  for (std::int64_t i = 0; i < batches.count; ++i) {
    Lane& lane = lanes[static_cast<std::size_t>(i % 2)];
    finish(lane);
    lane.first = i * batches.rows;
    lane.rows = std::min(batches.rows, call.rows - lane.first);
    if (is_stopped(call)) {
      finish(lanes[static_cast<std::size_t>(1 - i % 2)]);
      throw_stopped(call, lane.first);
    }
    auto program = impl.program(call.graph, impl.padded(lane.rows));
    if (!lane.lease) lane.lease.emplace(impl);
    model::Session& session = **lane.lease;
    lane.lease->taint();
    session.run(program, session.staging().upload(session.stream(), *program, call.arrays, lane.first, lane.rows));
    session.staging().download(session.stream(), *program);
    lane.under_way = std::move(program);
  }
  finish(lanes[static_cast<std::size_t>(batches.count % 2)]);  // the one that began first
  finish(lanes[static_cast<std::size_t>(1 - batches.count % 2)]);
}

/// Works on the arrays themselves: one part after another in session `own`, if given, or parts in parallel.
template <typename Impl>
void run_in_place(const Impl& impl, const Call& call, typename Impl::Lease* own) {
  const Chunks chunks = impl.chunks(*call.graph, call.rows);
  if (chunks.count == 0) return;
  const ProgramPtr program = impl.program(call.graph, chunks.rows, chunks.threads);
  const std::int64_t last_rows = chunks.last_rows(call.rows);
  const ProgramPtr shorter = last_rows == chunks.rows ? nullptr : impl.program(call.graph, last_rows, chunks.threads);
  const auto part = [&](model::Session& session, std::int64_t i) {
    if (is_stopped(call)) throw_stopped(call, i * chunks.rows);
    session.run(shorter && i == chunks.count - 1 ? shorter : program, call.arrays, i * chunks.rows, call.stream);
  };
  if (chunks.at_once == 1) {
    std::optional<typename Impl::Lease> taken;
    auto& lease = own != nullptr ? *own : taken.emplace(impl);
    lease.taint();
    for (std::int64_t i = 0; i < chunks.count; ++i) part(*lease, i);
    if (call.stream == nullptr) lease->synchronize();
    lease.absolve();
    return;
  }
  core::for_parts(chunks.count, chunks.at_once, chunks.nanoseconds, [&](std::int64_t i) {
    typename Impl::Lease lease(impl);
    lease.taint();
    part(*lease, i);
    lease.absolve();
  });
}

}  // namespace

void Model::Impl::run(const Call& call, Lease* own) const {
  backend.release_retired();
  if (call.is_host && !backend.traits.is_host)
    run_staged(*this, call);
  else
    run_in_place(*this, call, own);
}

Chunks Model::Impl::chunks(const model::Graph& graph_of, std::int64_t rows) const {
  return backend.traits.is_inline ? model::chunks_of(graph_of, rows, options.threads, options.max_batch)
                                  : model::batches_of(rows, options.max_batch);
}

std::int64_t Model::Impl::padded(std::int64_t rows) const {
  constexpr std::int64_t kStep = 32;
  constexpr std::int64_t kLargest = 256;
  if (!backend.traits.captures || !options.graphs || rows > kLargest || rows <= 1) return rows;
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  return std::min(rows <= kStep ? power : (rows + kStep - 1) / kStep * kStep, options.max_batch);
}

void Model::Impl::prepare_staged(const std::shared_ptr<const model::Graph>& graph_of, std::span<const std::int64_t> calls) const {
  std::vector<std::int64_t> parts;
  bool takes_turns = false;
  for (const std::int64_t rows : calls) {
    const Chunks batches = model::batches_of(rows, options.max_batch);
    parts.insert(parts.end(), {batches.rows, batches.last_rows(rows)});
    takes_turns = takes_turns || batches.count > 1;
  }
  std::sort(parts.begin(), parts.end(), std::greater<>());
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  const std::vector<model::Source> nothing(input_names.size());
  const std::vector<model::Target> nowhere(output_names.size());
  std::array<std::optional<Lease>, 2> lanes;  // as run_staged() takes them
  for (std::size_t i = 0; i < (takes_turns ? 2U : 1U); ++i) {
    Lease& lease = lanes[i].emplace(*this);
    lease.taint();
    // The first round grows buffers, the second shows their final place, the third captures.
    for (int pass = 0; pass < 3; ++pass) {
      for (const std::int64_t part : parts) {
        const ProgramPtr made = program(graph_of, padded(part));
        lease->run(made, lease->staging().upload(lease->stream(), *made, {nothing, nowhere}, 0, 0));
        lease->staging().download(lease->stream(), *made);
        lease->synchronize();
      }
    }
    lease.absolve();
  }
}

void Model::Impl::prepare(const std::shared_ptr<const model::Graph>& graph_of, std::span<const std::int64_t> calls) const {
  backend.release_retired();
  if (!backend.traits.is_host) prepare_staged(graph_of, calls);
  for (const std::int64_t rows : calls) {
    const Chunks parts = chunks(*graph_of, rows);
    static_cast<void>(program(graph_of, parts.rows, parts.threads));
    static_cast<void>(program(graph_of, parts.last_rows(rows), parts.threads));
  }
}

model::Explained Model::Impl::explained(const std::shared_ptr<const model::Graph>& graph_of, std::int64_t rows) const {
  model::Explained result{rows, {}, nullptr, options.device};
  if (backend.traits.is_inline)
    result.chunks = chunks(*graph_of, rows);
  else
    result.batch = result.chunks.rows = padded(rows);
  result.program = program(graph_of, result.chunks.rows, result.chunks.threads);
  return result;
}

}  // namespace lamella
