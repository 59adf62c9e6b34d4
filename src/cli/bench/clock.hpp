// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace lamella::bench {

using Call = std::function<void()>;

/// Times work on one device. The tests have one that is not a clock at all, so that no test depends on the machine's speed.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Microseconds that `calls` calls took, one behind the other, from the first begun to the last done.
  virtual double time(const Call& call, std::int64_t calls) = 0;
  /// Makes the device's caches forget what they hold.
  virtual void evict() = 0;
  /// Bytes a microsecond, read and written together, of a copy that reads and writes `bytes` in all.
  virtual double copy_rate(std::size_t bytes) = 0;
  /// What the enqueued work of a call runs on (a cudaStream_t); null when a call returns with its work done.
  [[nodiscard]] virtual void* stream() const noexcept { return nullptr; }
};

/// Wall time. Copies use all of `threads`.
class HostClock final : public Clock {
 public:
  /// `cache_bytes`: of the largest cache; evict() writes and reads twice as much.
  HostClock(std::size_t cache_bytes, int threads) : cache_bytes_(cache_bytes), threads_(threads) {}
  double time(const Call& call, std::int64_t calls) override;
  void evict() override;
  double copy_rate(std::size_t bytes) override;

 private:
  std::size_t cache_bytes_;
  int threads_;
  std::vector<std::uint64_t> lines_;  ///< made by the first evict()
};

}  // namespace lamella::bench
