// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

/// Runs a CUDA grid on the host: what kernels/launch.hpp and kernels/device.hpp are made of under a plain host compiler.
///
/// Blocks run one after the other. The threads of a block are plain calls where the kernel has no barriers, else fibers.
/// ThreadSanitizer takes each fiber for a thread, and only what orders threads on a device orders them there, so that a missing
/// barrier is reported as a race. Shared memory starts as 0xFF (NaN in every floating type) and is exactly as long as was asked
/// for.
namespace lamella::host_grid {

struct Index3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

struct GridConfig {
  Index3 grid = {};
  unsigned threads = 1;  ///< of a block, in one dimension
  std::size_t shared_bytes = 0;
  bool barriers = false;  ///< the kernel calls barrier(), warp_barrier() or gather(); then `threads` is a multiple of 32
};

/// Whether a device would take it: grid.x < 2^31, grid.y and grid.z < 2^16, 1 to 1024 threads, 48 KiB of shared memory.
[[nodiscard]] bool legal(const GridConfig& config);

/// A barrier or an exchange that only a part of the block or warp has come to.
class Divergence : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Calls `thread` once for every thread of every block, on the calling thread of the host. What `thread` throws
/// comes out; so does Divergence.
void run_grid(const GridConfig& config, const std::function<void()>& thread);

/// Where the running thread is.
struct Position {
  Index3 block{0, 0, 0};
  Index3 grid = {};
  unsigned thread = 0;
  unsigned threads = 1;
  void* shared = nullptr;
  std::size_t shared_bytes = 0;
};
inline thread_local constinit Position here{};

/// __syncthreads().
void barrier();
/// __syncwarp() of the whole warp.
void warp_barrier();
/// What every lane of the warp gives, when all 32 have come with the same `operation`. Orders no memory. The answer is good until
/// the thread's next barrier or exchange.
[[nodiscard]] const std::array<std::uint64_t, 32>& gather(const char* operation, std::uint64_t value);

}  // namespace lamella::host_grid
