// SPDX-License-Identifier: Apache-2.0
#include "ops/tuner.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include <lamella/version.hpp>

#include "core/backend.hpp"
#include "core/processors.hpp"
#include "core/random.hpp"
#include "core/visit_dtype.hpp"
#include "ops/dense.hpp"
#include "ops/quantized_dense.hpp"

namespace lamella::ops {
namespace {

constexpr int kRounds = 7;
constexpr double kInlineRound = 200e-6;  ///< seconds to measure one engine per round, if calls return when they are done
constexpr double kQueuedRound = 1e-3;    ///< the same if waiting for the device is included
constexpr double kEnough = 50e-3;        ///< seconds per engine after which no further round starts
constexpr double kHopeless = 3;          ///< factor over the fastest beyond which one call is enough
constexpr double kAlike = 1.03;          ///< factor over the fastest within which the device's order decides
constexpr int kMostCalls = 1000;
constexpr std::int64_t kCompared = 4;                         ///< rows
constexpr std::int64_t kComparedOfStack = 1 << 18;            ///< results
constexpr int kRotated = 4;                                   ///< pairs of arrays that the calls of a stack take in turn
constexpr std::size_t kMostRotated = std::size_t{64} << 20U;  ///< bytes of all these pairs; else there is one

/// What the operations that are measured have in common.
struct Work {
  std::int64_t batch;
  std::int64_t inputs;
  std::int64_t units;
  DType dtype;
  double tolerance;  ///< of the comparison with the reference, relative to the magnitude of its results
  std::string text;
  bool is_stack = false;
  /// Rows that are compared with the reference: few where that is planned for those alone.
  [[nodiscard]] std::int64_t compared() const {
    return std::min(batch, is_stack ? std::max(kComparedOfStack / units, kCompared) : kCompared);
  }
};

double tolerance_of(DType dtype, Math math) {
  if (dtype == DType::float64) return 1e-9;
  return dtype == DType::float32 ? (math == Math::tf32 ? 1e-2 : 1e-4) : 3e-2;
}

std::optional<Work> work_of(const Desc& desc, const PlanContext& context) {
  if (const auto* d = std::get_if<DenseDesc>(&desc))
    return Work{d->batch, d->inputs, d->units, d->dtype, tolerance_of(d->dtype, d->math), describe(*d)};
  if (const auto* d = std::get_if<QuantizedDenseDesc>(&desc)) {
    return Work{d->batch,
                d->inputs,
                d->units,
                d->dtype,
                tolerance_of(d->dtype, Math::exact),
                core::format("dense {} x {} -> {}{}{}, {}, {}", d->batch, d->inputs, d->units, d->has_bias ? ", bias, " : ", ",
                             to_string(d->activation.kind), to_string(d->dtype), describe(*d))};
  }
  if (const auto* d = std::get_if<StackDesc>(&desc)) {
    return Work{d->batch, d->layers.front().inputs,        d->layers.back().units,
                d->dtype, tolerance_of(d->dtype, d->math), describe(*d) + (context.replays ? "" : ", step by step"),
                true};
  }
  return std::nullopt;
}

std::size_t bytes_of(std::int64_t rows, std::int64_t columns, DType dtype) {
  const auto elements = core::checked_mul(rows, columns);
  LAMELLA_EXPECTS(elements && *elements < std::int64_t{1} << 50U, overflow, "[predict] {} x {} elements do not fit into memory",
                  rows, columns);
  return static_cast<std::size_t>(*elements) * size_of(dtype);
}

/// Periodic numbers in [-1, 1), which take no time to generate.
std::vector<std::byte> random_bytes(std::size_t bytes, DType dtype) {
  constexpr std::size_t kPeriod = 4099;
  std::vector<std::byte> result(bytes);
  core::visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    if constexpr (!std::is_integral_v<T>) {
      for (std::size_t i = 0; i < std::min(kPeriod, bytes / sizeof(T)); ++i) {
        const T value(static_cast<float>(2 * core::uniform(1, i) - 1));
        std::memcpy(&result[i * sizeof(T)], &value, sizeof(T));
      }
      for (std::size_t at = kPeriod * sizeof(T); at < bytes; ++at) result[at] = result[at - kPeriod * sizeof(T)];
    }
  });
  return result;
}

std::vector<double> numbers(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<double> result;
  core::visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
      T value;
      std::memcpy(&value, &bytes[at], sizeof(T));
      if constexpr (std::is_same_v<T, double>) {
        result.push_back(value);
      } else if constexpr (!std::is_integral_v<T>) {
        result.push_back(static_cast<double>(static_cast<float>(value)));
      }
    }
  });
  return result;
}

/// By norm, over the reference's finite results, because engines round differently.
bool agree(const std::vector<double>& got, const std::vector<double>& wanted, double tolerance) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (std::isfinite(wanted[i]) != std::isfinite(got[i])) return false;
    if (!std::isfinite(wanted[i])) continue;
    error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    size += wanted[i] * wanted[i];
  }
  return std::sqrt(error) <= tolerance * (std::sqrt(size) + 1e-3 * std::sqrt(static_cast<double>(wanted.size())));
}

/// One engine under measurement.
struct Entry {
  std::string_view engine;
  std::unique_ptr<Plan> plan;
  std::unique_ptr<PlanState> state;
  std::shared_ptr<void> workspace;
  std::vector<std::unique_ptr<core::Graph>> graphs = {};     ///< a call on each pair of arrays, to be replayed; empty: executed
  double seconds = std::numeric_limits<double>::infinity();  ///< least time of one call
  int calls = 1;
};

/// Arrays on a device, and a stream to run plans on.
class Laboratory {
 public:
  Laboratory(const Work& work, const PlanContext& context)
      : work_(work),
        backend_(*context.backend),
        device_(context.device_index),
        replays_(work.is_stack && context.replays),
        stream_(backend_.create_stream(device_)) {
    const auto x = random_bytes(bytes_of(work.batch, work.inputs, work.dtype), work.dtype);
    const std::size_t result = bytes_of(work.batch, work.units, work.dtype);
    const bool rotates = work.is_stack && x.size() + result <= kMostRotated / kRotated;
    for (int i = 0; i < (rotates ? kRotated : 1); ++i) {
      arrays_.push_back({backend_.allocate(device_, x.size()), backend_.allocate(device_, result)});
      backend_.copy(device_, arrays_.back().src.get(), x.data(), x.size());
    }
  }

  [[nodiscard]] Entry entry(const Candidate& candidate, std::int64_t batch) const {
    Entry made{candidate.engine, candidate.plan(batch), nullptr, nullptr};
    made.state = made.plan->make_state();
    if (const std::size_t bytes = made.plan->workspace_bytes(); bytes != 0) made.workspace = backend_.allocate(device_, bytes);
    return made;
  }
  /// The first call, and what prepares later ones.
  void warm_up(Entry& entry) {
    run(entry, 1);
    for (const Arrays& arrays : arrays_) {
      if (!replays_) break;
      core::NotCaptured why_not;
      auto graph = stream_->capture([&] { execute(entry, arrays); }, why_not);
      if (!graph) {
        entry.graphs.clear();
        break;
      }
      entry.graphs.push_back(std::move(graph));
    }
    if (!entry.graphs.empty()) run(entry, 1);
  }
  /// Returns when this many calls are done, on each pair of arrays in turn.
  void run(const Entry& entry, int calls) {
    if (entry.graphs.empty()) {
      core::Enqueueing enqueueing(*stream_);
      for (int i = 0; i < calls; ++i) execute(entry, arrays_[static_cast<std::size_t>(i) % arrays_.size()]);
      enqueueing.done();
    } else {
      for (int i = 0; i < calls; ++i) stream_->launch(*entry.graphs[static_cast<std::size_t>(i) % entry.graphs.size()]);
    }
    stream_->synchronize();
  }
  [[nodiscard]] std::vector<double> first_rows(const Entry& entry) {
    void* const dst = arrays_.front().dst.get();
    backend_.fill(device_, dst, 0xFF, bytes_of(work_.batch, work_.units, work_.dtype));
    run(entry, 1);
    std::vector<std::byte> bytes(bytes_of(work_.compared(), work_.units, work_.dtype));
    backend_.copy(device_, bytes.data(), dst, bytes.size());
    return numbers(bytes, work_.dtype);
  }
  [[nodiscard]] double round() const { return backend_.traits.is_inline ? kInlineRound : kQueuedRound; }

 private:
  struct Arrays {
    std::shared_ptr<void> src;
    std::shared_ptr<void> dst;
  };
  void execute(const Entry& entry, const Arrays& arrays) {
    const void* const src = arrays.src.get();
    entry.plan->execute({std::span(&src, 1), arrays.dst.get(), entry.workspace.get(), stream_.get(), entry.state.get()});
  }

  const Work& work_;
  core::Backend& backend_;
  int device_;
  bool replays_;
  std::vector<Arrays> arrays_;
  std::unique_ptr<core::Stream> stream_;  // destroyed first, and waits
};

/// Measures the engines against each other for which there is memory and which do not fail: a library may refuse when it is
/// called what it has offered before.
std::vector<Entry> measured(Laboratory& laboratory, std::span<const Candidate> candidates, std::int64_t batch, Tuner::Clock now) {
  std::vector<Entry> entries;
  const auto time = [&](Entry& entry, int calls) {
    const double begin = now();
    laboratory.run(entry, calls);
    entry.seconds = std::min(entry.seconds, (now() - begin) / calls);
  };
  double best = std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates) {
    try {
      Entry entry = laboratory.entry(candidate, batch);
      laboratory.warm_up(entry);  // not measured
      time(entry, 1);
      best = std::min(best, entry.seconds);
      entries.push_back(std::move(entry));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory && error.code() != ErrorCode::device) throw;
    }
  }
  const double limit = best * kHopeless;
  for (Entry& entry : entries)
    entry.calls = static_cast<int>(std::clamp(laboratory.round() / std::max(entry.seconds, 1e-9), 1.0, 1.0 * kMostCalls));
  const double begin = now();
  for (int round = 0; round < kRounds; ++round) {
    for (Entry& entry : entries) {
      if (entry.seconds <= limit) time(entry, entry.calls);
    }
    if (now() - begin > kEnough * static_cast<double>(entries.size())) break;
  }
  return entries;
}

bool is_new(const PlanContext& context, const std::string& work) {
  return context.measured != nullptr &&
         std::find(context.measured->begin(), context.measured->end(), work) != context.measured->end();
}

std::string machine_of(const PlanContext& context) {
  std::string text = core::format("lamella {}, {}", version(), context.backend->describe(context.device_index));
  for (const std::string& library : context.backend->libraries()) text += ", " + library;
  if (context.backend->traits.is_inline) {
    static const std::string& model = *new std::string(core::processor_model());
    text += core::format(", {}, {}{}", model, context.threads, context.threads == 1 ? " thread" : " threads");
  }
  return text;
}

}  // namespace

std::optional<double> Tuner::Verdict::microseconds_of(std::string_view engine) const {
  for (const auto& [name, time] : record.microseconds) {
    if (name == engine) return time;
  }
  return std::nullopt;
}

std::string Tuner::Verdict::time_of(std::string_view engine) const {
  const std::optional<double> time = microseconds_of(engine);
  if (!time) return "not measured";
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, "%.3g us", *time));
  return text;
}

Tuner& Tuner::of_process() {
  static Tuner& tuner = *new Tuner(core::tuning_file(), [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  });
  return tuner;
}

std::optional<core::TuningRecord> Tuner::recorded(const Desc& desc, const PlanContext& context) {
  const auto work = work_of(desc, context);
  return work ? records_.find(machine_of(context), work->text) : std::nullopt;
}

std::optional<Tuner::Verdict> Tuner::fastest(const Desc& desc, std::span<const Candidate> candidates, const Candidate& reference,
                                             const PlanContext& context) {
  const auto work = work_of(desc, context);
  if (!work || candidates.size() < 2 || work->batch == 0 || work->inputs == 0 || work->units == 0) return std::nullopt;
  const std::string machine = machine_of(context);
  const auto known = [&]() -> std::optional<Verdict> {
    auto record = records_.find(machine, work->text);
    const auto has = [&](const Candidate& c) { return record && c.engine == record->engine; };
    if (std::none_of(candidates.begin(), candidates.end(), has)) return std::nullopt;
    return Verdict{*std::move(record), !is_new(context, work->text), nullptr};
  };
  if (auto verdict = known(); verdict || context.tuning != Tuning::measure) return verdict;
  const std::lock_guard lock(measuring_);
  if (auto verdict = known()) return verdict;  // another thread was faster

  Laboratory laboratory(*work, context);
  std::vector<Entry> entries = measured(laboratory, candidates, work->batch, clock_);
  if (work->is_stack && entries.size() < candidates.size()) return std::nullopt;  // memory for either, but not for both
  core::TuningRecord record{machine, work->text, {}, {}};
  double best = std::numeric_limits<double>::infinity();
  const auto wanted = laboratory.first_rows(laboratory.entry(reference, std::min(work->batch, kCompared)));
  std::vector<Entry*> right;
  for (Entry& entry : entries) {
    if (!agree(laboratory.first_rows(entry), wanted, work->tolerance)) continue;
    record.microseconds.emplace_back(entry.engine, entry.seconds * 1e6);
    right.push_back(&entry);
    best = std::min(best, entry.seconds);
  }
  for (Entry* entry : right) {
    if (entry->seconds > best * kAlike) continue;
    record.engine = entry->engine;
    records_.add(record);
    if (context.measured != nullptr) context.measured->push_back(work->text);
    return Verdict{std::move(record), false, std::move(entry->plan)};
  }
  return std::nullopt;
}

}  // namespace lamella::ops
