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
constexpr std::int64_t kCompared = 4;  ///< rows

/// What a DenseDesc and a QuantizedDenseDesc have in common.
struct Work {
  std::int64_t batch;
  std::int64_t inputs;
  std::int64_t units;
  DType dtype;
  double tolerance;  ///< of the comparison with the reference, relative to the magnitude of its results
  std::string text;
};

double tolerance_of(DType dtype, Math math) {
  if (dtype == DType::float64) return 1e-9;
  return dtype == DType::float32 ? (math == Math::tf32 ? 1e-2 : 1e-4) : 3e-2;
}

std::optional<Work> work_of(const Desc& desc) {
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
        src_(backend_.allocate(device_, bytes_of(work.batch, work.inputs, work.dtype))),
        dst_(backend_.allocate(device_, bytes_of(work.batch, work.units, work.dtype))),
        stream_(backend_.create_stream(device_)) {
    const auto x = random_bytes(bytes_of(work.batch, work.inputs, work.dtype), work.dtype);
    backend_.copy(device_, src_.get(), x.data(), x.size());
  }

  [[nodiscard]] Entry entry(const Candidate& candidate, std::int64_t batch) const {
    Entry made{candidate.engine, candidate.plan(batch), nullptr, nullptr};
    made.state = made.plan->make_state();
    if (const std::size_t bytes = made.plan->workspace_bytes(); bytes != 0) made.workspace = backend_.allocate(device_, bytes);
    return made;
  }
  /// Returns when this many calls are done.
  void run(const Entry& entry, int calls) {
    const void* const src = src_.get();
    core::Enqueueing enqueueing(*stream_);
    for (int i = 0; i < calls; ++i)
      entry.plan->execute({std::span(&src, 1), dst_.get(), entry.workspace.get(), stream_.get(), entry.state.get()});
    enqueueing.done();
    stream_->synchronize();
  }
  [[nodiscard]] std::vector<double> first_rows(const Entry& entry) {
    backend_.fill(device_, dst_.get(), 0xFF, bytes_of(work_.batch, work_.units, work_.dtype));
    run(entry, 1);
    std::vector<std::byte> bytes(bytes_of(std::min(work_.batch, kCompared), work_.units, work_.dtype));
    backend_.copy(device_, bytes.data(), dst_.get(), bytes.size());
    return numbers(bytes, work_.dtype);
  }
  [[nodiscard]] double round() const { return backend_.traits.is_inline ? kInlineRound : kQueuedRound; }

 private:
  const Work& work_;
  core::Backend& backend_;
  int device_;
  std::shared_ptr<void> src_;
  std::shared_ptr<void> dst_;
  std::unique_ptr<core::Stream> stream_;  // destroyed first, and waits
};

/// Measures the engines for which there is memory against each other.
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
      laboratory.run(entry, 1);  // the first call's preparation is not measured
      time(entry, 1);
      best = std::min(best, entry.seconds);
      entries.push_back(std::move(entry));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory) throw;
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

std::string Tuner::Verdict::time_of(std::string_view engine) const {
  for (const auto& [name, time] : record.microseconds) {
    if (name != engine) continue;
    char text[32];
    static_cast<void>(std::snprintf(text, sizeof text, "%.3g us", time));
    return text;
  }
  return "not measured";
}

Tuner& Tuner::of_process() {
  static Tuner& tuner = *new Tuner(core::tuning_file(), [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  });
  return tuner;
}

std::optional<core::TuningRecord> Tuner::recorded(const Desc& desc, const PlanContext& context) {
  const auto work = work_of(desc);
  return work ? records_.find(machine_of(context), work->text) : std::nullopt;
}

std::optional<Tuner::Verdict> Tuner::fastest(const Desc& desc, std::span<const Candidate> candidates, const Candidate& reference,
                                             const PlanContext& context) {
  const auto work = work_of(desc);
  if (!work || candidates.size() < 2 || work->batch == 0 || work->inputs == 0 || work->units == 0) return std::nullopt;
  const std::string machine = machine_of(context);
  const auto known = [&]() -> std::optional<Verdict> {
    auto record = records_.find(machine, work->text);
    const auto has = [&](const Candidate& c) { return record && c.engine == record->engine; };
    if (std::none_of(candidates.begin(), candidates.end(), has)) return std::nullopt;
    return Verdict{*std::move(record), true, nullptr};
  };
  if (auto verdict = known(); verdict || context.tuning != Tuning::measure) return verdict;
  const std::lock_guard lock(measuring_);
  if (auto verdict = known()) return verdict;  // another thread was faster

  Laboratory laboratory(*work, context);
  std::vector<Entry> entries = measured(laboratory, candidates, work->batch, clock_);
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
    return Verdict{std::move(record), false, std::move(entry->plan)};
  }
  return std::nullopt;
}

}  // namespace lamella::ops
