// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace lamella::bench {

using Call = std::function<void()>;

/// Times work on one device. Tests use a simulated one, so that no test depends on the machine's speed.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Microseconds for `calls` consecutive calls, from the start of the first to the end of the last.
  virtual double time(const Call& call, std::int64_t calls) = 0;
  /// Evicts the contents of the device's caches.
  virtual void evict() = 0;
  /// Bytes per microsecond, reads plus writes, of a copy that reads and writes `bytes` in total.
  virtual double copy_rate(std::size_t bytes) = 0;
  /// The stream (a cudaStream_t) on which a call enqueues its work; null if calls return when their work is done.
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
