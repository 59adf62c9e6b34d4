// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/onednn_door.hpp"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

namespace lamella::cpu::onednn {
namespace {

/// More memory than creating the largest primitive takes: a quarter of a MiB per piece of code, and there are a few dozen.
constexpr std::size_t kReserve = std::size_t{32} << 20U;
constexpr int kMostHandlers = 16;

core::Mutex& door =
    *new core::Mutex;  // never destroyed, like everything here, because other threads may still run at process exit
const dnnl::engine* engine = nullptr;
int handlers = 0;  ///< guarded by the door
std::atomic<bool> is_ended{false};
std::atomic<int> running{0};

/// Creates the static objects (generated code) that products share on older processors, and that oneDNN would create on their
/// first run: their destructors would run before end() if registered after it.
void make_shared_code() {
  constexpr unsigned kAvx512 = 0x20;
  if ((static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kAvx512) != 0) return;  // its products do not share code
  for (const dnnl::memory::dim n : {8, 200}) {                                        // unpacked and packed
    const std::vector<float> ones(static_cast<std::size_t>(n * n), 1.0F);
    std::vector<float> sums(ones.size());
    static_cast<void>(dnnl::sgemm('N', 'N', n, n, n, 1.0F, ones.data(), n, ones.data(), n, 0.0F, sums.data(), n));
  }
}

/// Runs before the destructors of the objects that oneDNN had created when this was registered.
void end() {
  is_ended = true;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  const bool closed = [&] {
    while (!door.try_lock()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return true;
  }();
  while (running != 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::microseconds(50));
  if (closed) door.unlock();
}

}  // namespace

Door::Door() : lock_(door) {
  if (is_ended) throw Ended();
  expect_memory();
  if (engine != nullptr) return;
  static_cast<void>(dnnl::get_primitive_cache_capacity());  // creates the cache
  make_shared_code();
  engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  ends_before_what_was_made();
}

void Door::expect_memory() {
  void* const memory = ::mmap(nullptr, kReserve, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  static_cast<void>(::munmap(memory, kReserve));
}

void Door::ends_before_what_was_made() {
  if (handlers < kMostHandlers && std::atexit(end) == 0) ++handlers;
}

Running::Running() noexcept {
  running.fetch_add(1);
  allowed_ = !is_ended;
}
Running::~Running() { running.fetch_sub(1); }

const dnnl::engine& cpu_engine() { return *engine; }

}  // namespace lamella::cpu::onednn
