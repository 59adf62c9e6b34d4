// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "grid.hpp"
#include "team.hpp"

#ifdef __SANITIZE_THREAD__
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace lamella::host_grid {
namespace {

/// ThreadSanitizer takes no notice of what happens meanwhile: the locks in here would order threads that a device does not order.
class Unseen {
 public:
#ifdef __SANITIZE_THREAD__
  Unseen() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
  }
  ~Unseen() {
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  Unseen() {}
  ~Unseen() {}
#endif
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};

void release(void* address) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(address);
#else
  static_cast<void>(address);
#endif
}
void acquire(void* address) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(address);
#else
  static_cast<void>(address);
#endif
}

/// Thrown through the threads that wait, when they would wait for ever.
struct Abandoned {};

class Threads final : public Team {
 public:
  explicit Threads(unsigned threads) : meeting_(threads), tokens_(1 + threads / Rendezvous::kWarp) {}

  void run_block(const std::function<void()>& thread) override {
    meeting_ = Rendezvous(meeting_.threads());
    running_ = meeting_.threads();
    why_.clear();
    error_ = nullptr;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < meeting_.threads(); ++t) {
      threads.emplace_back([this, &thread, t, block = here] {
        here = block;
        here.thread = t;
        run_member(thread);
      });
    }
    for (std::thread& member : threads) member.join();
    if (error_) std::rethrow_exception(error_);
    if (!why_.empty()) throw Divergence(why_);
  }

  std::array<std::uint64_t, Rendezvous::kWarp> wait(Rendezvous::State state, const char* operation, std::uint64_t value,
                                                    bool orders_memory) override {
    if (!orders_memory) return meet(state, operation, value);
    void* const token = token_of(state);
    release(token);
    const auto values = meet(state, operation, value);
    acquire(token);
    return values;
  }

 private:
  void run_member(const std::function<void()>& thread) {
    std::exception_ptr error;
    try {
      thread();
    } catch (const Abandoned&) {
    } catch (...) {
      error = std::current_exception();
    }
    const Unseen unseen;
    const std::lock_guard lock(mutex_);
    if (error && !error_) error_ = error;
    meeting_.end(here.thread);
    stopped();
  }

  /// What stands for this barrier in the eyes of ThreadSanitizer. Of two tokens one is in use: nobody can be two barriers ahead.
  void* token_of(Rendezvous::State state) {
    thread_local unsigned block_barriers = 0;  // the threads of the host are new for every block
    thread_local unsigned warp_barriers = 0;
    if (state == Rendezvous::State::at_block) return &tokens_[0][block_barriers++ % 2];
    return &tokens_[1 + here.thread / Rendezvous::kWarp][warp_barriers++ % 2];
  }

  std::array<std::uint64_t, Rendezvous::kWarp> meet(Rendezvous::State state, const char* operation, std::uint64_t value) {
    const Unseen unseen;
    std::unique_lock lock(mutex_);
    meeting_.wait(here.thread, state, operation, value);
    stopped();
    changed_.wait(lock, [&] { return !why_.empty() || meeting_.state(here.thread) == Rendezvous::State::running; });
    if (!why_.empty()) throw Abandoned();
    return meeting_.values(here.thread);
  }

  /// One thread less runs. The last one to stop lets go whom it can.
  void stopped() {
    if (--running_ > 0) return;
    running_ = meeting_.release();
    if (running_ == 0) why_ = meeting_.stuck();
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Rendezvous meeting_;
  std::vector<std::array<char, 2>> tokens_;  // the block's, then each warp's
  unsigned running_ = 0;
  std::string why_;
  std::exception_ptr error_;
};

}  // namespace

std::unique_ptr<Team> make_threads(unsigned threads) { return std::make_unique<Threads>(threads); }

}  // namespace lamella::host_grid
