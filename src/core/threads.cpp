// SPDX-License-Identifier: Apache-2.0
#include "core/threads.hpp"

#include <pthread.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "core/float_environment.hpp"

namespace lamella::core {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kStaysAwake = std::chrono::microseconds(100);  ///< an idle thread sleeps after this time
constexpr double kWorthWaking = 40'000;                       ///< nanoseconds of work for which sleeping threads are woken
constexpr std::size_t kJobs = 64;                             ///< calls that can have helpers at the same time

inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// The parts of one call.
struct alignas(64) Job {
  bool used = false;  ///< guarded by the pool's mutex, as are the next five
  bool open = false;  ///< one more helper may come
  std::int64_t parts = 0;
  int most_helpers = 0;
  void (*part)(void*, std::int64_t) = nullptr;
  void* context = nullptr;
  std::exception_ptr error;           ///< guarded by the pool's mutex
  std::atomic<std::int64_t> next{0};  ///< the first part that has not been started
  std::atomic<int> helpers{0};        ///< pool threads working on this job; increased under the mutex, while it is open
};

class Pool {
 public:
  void run(std::int64_t parts, int threads, double nanoseconds, void (*part)(void*, std::int64_t), void* context) {
    Job* const job = post(parts, threads - 1, nanoseconds, part, context);
    if (job == nullptr) {
      for (std::int64_t i = 0; i < parts; ++i) part(context, i);
      return;
    }
    work(*job);
    wait_for_helpers(*job);
    std::exception_ptr error;
    {
      const std::lock_guard lock(mutex_);
      job->used = false;
      error.swap(job->error);
    }
    if (error) std::rethrow_exception(error);
  }

 private:
  void grow_to(int helpers) {
    const std::lock_guard lock(growth_);
    try {
      while (helpers_.load(std::memory_order_relaxed) < helpers) {
        std::thread([this] { help(); }).detach();
        helpers_.fetch_add(1, std::memory_order_relaxed);
      }
    } catch (const std::system_error&) {  // no more threads can be created
    } catch (const std::bad_alloc&) {
    }
  }

  /// Null: no helper is available.
  Job* post(std::int64_t parts, int most_helpers, double nanoseconds, void (*part)(void*, std::int64_t), void* context) {
    bool wake = false;
    if (awake_.load(std::memory_order_relaxed) == 0) {
      // Small jobs wake the others only if they arrive in quick succession.
      const auto now = Clock::now().time_since_epoch().count();
      const auto before = last_small_.exchange(now, std::memory_order_relaxed);
      wake = nanoseconds >= kWorthWaking || now - before < Clock::duration(kStaysAwake).count();
      if (!wake) return nullptr;
    }
    if (helpers_.load(std::memory_order_relaxed) < most_helpers) grow_to(most_helpers);
    if (helpers_.load(std::memory_order_relaxed) == 0) return nullptr;
    const std::lock_guard lock(mutex_);
    for (Job& job : jobs_) {
      if (job.used) continue;
      job.used = true;
      job.open = true;
      job.parts = parts;
      job.most_helpers = most_helpers;
      job.part = part;
      job.context = context;
      job.next.store(0, std::memory_order_relaxed);
      open_.fetch_add(1, std::memory_order_release);
      if (asleep_ > 0 && (wake || nanoseconds >= kWorthWaking)) {
        ++calls_;
        most_helpers == 1 ? work_.notify_one() : work_.notify_all();
      }
      return &job;
    }
    return nullptr;
  }

  /// Runs parts until none is left.
  void work(Job& job) {
    for (;;) {
      const std::int64_t i = job.next.fetch_add(1, std::memory_order_relaxed);
      if (i >= job.parts) return;
      if (i == job.parts - 1) {
        const std::lock_guard lock(mutex_);
        close(job);
      }
      try {
        job.part(job.context, i);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!job.error) job.error = std::current_exception();
      }
    }
  }

  static void wait_for_helpers(Job& job) {
    constexpr int kSpins = 2000;
    for (int i = 0; i < kSpins; ++i) {
      if (job.helpers.load(std::memory_order_acquire) == 0) return;
      pause();
    }
    for (int left = job.helpers.load(std::memory_order_acquire); left != 0; left = job.helpers.load(std::memory_order_acquire)) {
      job.helpers.wait(left, std::memory_order_acquire);
    }
  }

  void close(Job& job) {  // under the mutex
    if (job.open) open_.fetch_sub(1, std::memory_order_relaxed);
    job.open = false;
  }

  Job* join_one() {  // under the mutex
    for (Job& job : jobs_) {
      if (!job.open) continue;
      if (job.helpers.fetch_add(1, std::memory_order_relaxed) + 1 == job.most_helpers) close(job);
      return &job;
    }
    return nullptr;
  }

  /// Waits for a job to help with. The calling thread counts as awake.
  Job& wait_for_job() {
    auto until = Clock::now() + kStaysAwake;
    for (;;) {
      for (int i = 0; i < 64; ++i) {
        if (open_.load(std::memory_order_acquire) > 0) {
          std::unique_lock lock(mutex_, std::try_to_lock);
          if (Job* const job = lock.owns_lock() ? join_one() : nullptr; job != nullptr) {
            awake_.fetch_sub(1, std::memory_order_relaxed);
            return *job;
          }
        }
        pause();
      }
      if (Clock::now() < until) continue;
      std::unique_lock lock(mutex_);
      awake_.fetch_sub(1, std::memory_order_relaxed);
      ++asleep_;
      const std::uint64_t calls = calls_;
      work_.wait(lock, [&] { return calls_ != calls || open_.load(std::memory_order_relaxed) > 0; });
      --asleep_;
      if (Job* const job = join_one(); job != nullptr) return *job;
      awake_.fetch_add(1, std::memory_order_relaxed);  // too late for the job that woke it; another may follow soon
      until = Clock::now() + kStaysAwake;
    }
  }

  [[noreturn]] void help() {
    const FloatEnvironment environment;  // the environment of the creating thread does not apply
    awake_.fetch_add(1, std::memory_order_relaxed);
    for (;;) {
      Job& job = wait_for_job();
      work(job);
      awake_.fetch_add(1, std::memory_order_relaxed);  // before the caller continues, since it may return at once
      if (job.helpers.fetch_sub(1, std::memory_order_acq_rel) == 1) job.helpers.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::array<Job, kJobs> jobs_;
  std::atomic<int> open_{0};   ///< jobs that can take another helper
  std::atomic<int> awake_{0};  ///< threads that are looking for work
  std::atomic<Clock::rep> last_small_{0};
  int asleep_ = 0;
  std::uint64_t calls_ = 0;  ///< how often sleeping threads were woken
  std::mutex growth_;
  std::atomic<int> helpers_{0};
};

/// Created on first use, and again in a child process, which has none of its parent's threads and leaves the parent's pool
/// untouched. Never destroyed, because static objects and other threads may predict until the process ends.
constinit std::atomic<Pool*> the_pool{nullptr};
[[maybe_unused]] const int kForgotten = ::pthread_atfork(nullptr, nullptr, [] { the_pool = nullptr; });

Pool& pool() {
  if (Pool* const known = the_pool.load(std::memory_order_acquire)) return *known;
  auto made = std::make_unique<Pool>();
  Pool* expected = nullptr;
  return the_pool.compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel) ? *made.release() : *expected;
}

}  // namespace

void detail::run_parts(std::int64_t parts, int threads, double nanoseconds, void (*part)(void*, std::int64_t), void* context) {
  pool().run(parts, threads, nanoseconds, part, context);
}

}  // namespace lamella::core
