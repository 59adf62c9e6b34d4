// SPDX-License-Identifier: Apache-2.0
#include "team.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "fiber.hpp"
#include "grid.hpp"
#include "watch.hpp"

namespace lamella::host_grid {
namespace {

/// Fibers are kept from grid to grid, whoever runs it: getting so many stacks from the system takes longer than most kernels.
class Spare {
 public:
  explicit Spare(unsigned count) {
    {
      const std::lock_guard lock(mutex());
      while (fibers_.size() < count && !pool().empty()) {
        fibers_.push_back(std::move(pool().back()));
        pool().pop_back();
      }
    }
    while (fibers_.size() < count) fibers_.push_back(std::make_unique<Fiber>());
  }
  ~Spare() {
    const watch::Unseen unseen;
    const std::lock_guard lock(mutex());
    std::move(fibers_.begin(), fibers_.end(), std::back_inserter(pool()));
  }
  Spare(const Spare&) = delete;
  Spare& operator=(const Spare&) = delete;
  [[nodiscard]] Fiber& at(unsigned thread) const { return *fibers_[thread]; }

 private:
  static std::mutex& mutex() {
    static std::mutex mutex;
    return mutex;
  }
  static std::vector<std::unique_ptr<Fiber>>& pool() {
    static std::vector<std::unique_ptr<Fiber>> pool;
    return pool;
  }
  std::vector<std::unique_ptr<Fiber>> fibers_;
};

/// Thrown through the threads that wait, when they would wait for ever.
struct Abandoned {};

/// On a device the threads of a block are ordered by its barriers and by nothing else, and so ThreadSanitizer is told: of a
/// barrier, and of a block's begin and end.
class Fibers final : public Team {
 public:
  explicit Fibers(unsigned threads)
      : fibers_(threads), meeting_(threads), passed_(threads), tokens_(1 + threads / Rendezvous::kWarp) {}

  void run_block(const std::function<void()>& thread) override {
    watch::release(&begin_);
    {
      const watch::Unseen unseen;
      run(thread);
    }
    watch::acquire(&end_);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if (!why_.empty()) throw Divergence(why_);
  }

  const std::array<std::uint64_t, Rendezvous::kWarp>& wait(Rendezvous::State state, const char* operation, std::uint64_t value,
                                                           bool orders_memory) override {
    void* const token = orders_memory ? token_of(state) : nullptr;
    if (token != nullptr) watch::release(token);
    const auto& values = meet(state, operation, value);
    if (token != nullptr) watch::acquire(token);
    return values;
  }

 private:
  struct Passed {
    unsigned block_barriers = 0;
    unsigned warp_barriers = 0;
  };

  void run(const std::function<void()>& thread) {
    thread_ = &thread;
    abandoned_ = false;
    meeting_ = Rendezvous(meeting_.threads());
    passed_.assign(meeting_.threads(), {});
    for (unsigned t = 0; t < meeting_.threads(); ++t)
      fibers_.at(t).start([](void* self) { static_cast<Fibers*>(self)->live(); }, this);
    block_ = here;
    do {
      for (unsigned t = 0; t < meeting_.threads() && !error_; ++t) {
        if (meeting_.state(t) == Rendezvous::State::running) resume(t);
      }
    } while (!error_ && meeting_.release() > 0);
    why_ = meeting_.stuck();
    abandoned_ = true;
    for (unsigned t = 0; t < meeting_.threads(); ++t) {
      if (meeting_.state(t) != Rendezvous::State::ended) resume(t);
    }
    here = block_;
  }

  void resume(unsigned thread) {
    here = block_;
    here.thread = thread;
    fibers_.at(thread).resume();
  }

  void live() {
    watch::acquire(&begin_);
    const unsigned thread = here.thread;
    std::exception_ptr error;
    try {
      if (!abandoned_) (*thread_)();
    } catch (const Abandoned&) {
    } catch (...) {
      error = std::current_exception();
    }
    watch::release(&end_);
    const watch::Unseen unseen;
    if (error && !error_) error_ = std::move(error);
    meeting_.end(thread);
  }

  const std::array<std::uint64_t, Rendezvous::kWarp>& meet(Rendezvous::State state, const char* operation, std::uint64_t value) {
    const watch::Unseen unseen;
    const unsigned thread = here.thread;
    meeting_.wait(thread, state, operation, value);
    fibers_.at(thread).leave();
    if (abandoned_) throw Abandoned();
    return meeting_.values(thread);
  }

  /// What stands for this barrier in the eyes of ThreadSanitizer. Of two tokens one is in use: nobody can be two barriers ahead.
  void* token_of(Rendezvous::State state) {
    const watch::Unseen unseen;
    Passed& passed = passed_[here.thread];
    if (state == Rendezvous::State::at_block) return &tokens_[0][passed.block_barriers++ % 2];
    return &tokens_[1 + here.thread / Rendezvous::kWarp][passed.warp_barriers++ % 2];
  }

  Spare fibers_;
  Rendezvous meeting_;
  std::vector<Passed> passed_;
  std::vector<std::array<char, 2>> tokens_;  // the block's, then each warp's
  char begin_ = 0;
  char end_ = 0;
  const std::function<void()>* thread_ = nullptr;
  Position block_;
  bool abandoned_ = false;
  std::string why_;
  std::exception_ptr error_;
};

}  // namespace

std::unique_ptr<Team> make_team(unsigned threads) { return std::make_unique<Fibers>(threads); }

}  // namespace lamella::host_grid
