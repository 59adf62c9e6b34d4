// SPDX-License-Identifier: Apache-2.0
#include <ucontext.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grid.hpp"
#include "team.hpp"
#include "watch.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace lamella::host_grid {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10U;  // of virtual memory: what is not touched costs nothing

/// A stack and a place to come back to. The sanitizers are told of every switch.
struct Context {
  ucontext_t registers{};
  const void* stack = nullptr;
  std::size_t stack_bytes = 0;
  void* watched = nullptr;
};

LAMELLA_UNRECORDED void switch_to(Context& from, Context& to, [[maybe_unused]] bool for_ever) {
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(for_ever ? nullptr : &fake_stack, to.stack, to.stack_bytes);
  swapcontext(&from.registers, &to.registers);
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#else
  watch::switch_to(to.watched);
  swapcontext(&from.registers, &to.registers);
#endif
}

/// A stack, and whom ThreadSanitizer sees on it.
struct Fiber {
  std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
  std::unique_ptr<void, void (*)(void*)> watched{watch::create(), watch::destroy};
};

/// Fibers are kept from grid to grid: getting so many stacks from the system takes longer than most kernels.
class Spare {
 public:
  explicit Spare(unsigned count) : fibers_(std::move(spare_)) {
    while (fibers_.size() < count) fibers_.emplace_back();
  }
  ~Spare() {
    const watch::Unseen unseen;
#ifdef __SANITIZE_ADDRESS__
    for (const auto& fiber : fibers_)
      ASAN_UNPOISON_MEMORY_REGION(fiber.stack.get(), kStackBytes);  // a fiber never returns from its first frame
#endif
    spare_ = std::move(fibers_);
  }
  Spare(const Spare&) = delete;
  Spare& operator=(const Spare&) = delete;
  [[nodiscard]] const Fiber& at(unsigned thread) const { return fibers_[thread]; }

 private:
  static thread_local std::vector<Fiber> spare_;
  std::vector<Fiber> fibers_;
};

thread_local std::vector<Fiber> Spare::spare_;

/// Thrown through the threads that wait, when they would wait for ever.
struct Abandoned {};

/// On a device the threads of a block are ordered by its barriers and by nothing else, and so ThreadSanitizer is told: of a
/// barrier, and of a block's begin and end.
class Fibers final : public Team {
 public:
  explicit Fibers(unsigned threads)
      : contexts_(threads), spare_(threads), meeting_(threads), passed_(threads), tokens_(1 + threads / Rendezvous::kWarp) {}

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

  std::array<std::uint64_t, Rendezvous::kWarp> wait(Rendezvous::State state, const char* operation, std::uint64_t value,
                                                    bool orders_memory) override {
    void* const token = orders_memory ? token_of(state) : nullptr;
    if (token != nullptr) watch::release(token);
    const auto values = meet(state, operation, value);
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
    main_.watched = watch::current();
    for (unsigned t = 0; t < meeting_.threads(); ++t) start(t);
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
    switch_to(main_, contexts_[thread], false);
  }

  void start(unsigned thread) {
    Context& fiber = contexts_[thread];
    fiber.stack = spare_.at(thread).stack.get();
    fiber.stack_bytes = kStackBytes;
    fiber.watched = spare_.at(thread).watched.get();
    getcontext(&fiber.registers);
    fiber.registers.uc_stack.ss_sp = spare_.at(thread).stack.get();
    fiber.registers.uc_stack.ss_size = kStackBytes;
    fiber.registers.uc_link = nullptr;
    starting_ = this;
    makecontext(&fiber.registers, &Fibers::enter, 0);
  }

  LAMELLA_UNRECORDED static void enter() {
    Fibers& self = *starting_;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &self.main_.stack, &self.main_.stack_bytes);
#endif
    const unsigned thread = here.thread;
    self.live(thread);
    switch_to(self.contexts_[thread], self.main_, true);
  }

  void live(unsigned thread) {
    watch::acquire(&begin_);
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

  std::array<std::uint64_t, Rendezvous::kWarp> meet(Rendezvous::State state, const char* operation, std::uint64_t value) {
    const watch::Unseen unseen;
    const unsigned thread = here.thread;
    meeting_.wait(thread, state, operation, value);
    switch_to(contexts_[thread], main_, false);
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

  static thread_local Fibers* starting_;

  std::vector<Context> contexts_;
  Spare spare_;
  Context main_;
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

thread_local Fibers* Fibers::starting_ = nullptr;

}  // namespace

std::unique_ptr<Team> make_team(unsigned threads) { return std::make_unique<Fibers>(threads); }

}  // namespace lamella::host_grid
