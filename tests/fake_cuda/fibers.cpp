// SPDX-License-Identifier: Apache-2.0
#include <ucontext.h>

#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "grid.hpp"
#include "team.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace lamella::host_grid {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10U;  // of virtual memory: what is not touched costs nothing

/// A stack and a place to come back to. AddressSanitizer is told of every switch.
struct Context {
  ucontext_t registers{};
  const void* stack = nullptr;
  std::size_t stack_bytes = 0;
};

void switch_to(Context& from, Context& to, [[maybe_unused]] bool for_ever) {
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(for_ever ? nullptr : &fake_stack, to.stack, to.stack_bytes);
  swapcontext(&from.registers, &to.registers);
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#else
  swapcontext(&from.registers, &to.registers);
#endif
}

/// Stacks for fibers, kept from grid to grid: getting so many from the system takes longer than most kernels.
class Stacks {
 public:
  explicit Stacks(unsigned count) : stacks_(std::move(spare_)) {
    while (stacks_.size() < count) stacks_.emplace_back(new unsigned char[kStackBytes]);
  }
  ~Stacks() {
#ifdef __SANITIZE_ADDRESS__
    for (const auto& stack : stacks_)
      ASAN_UNPOISON_MEMORY_REGION(stack.get(), kStackBytes);  // a fiber never returns from its first frame
#endif
    spare_ = std::move(stacks_);
  }
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  [[nodiscard]] unsigned char* at(unsigned thread) const { return stacks_[thread].get(); }

 private:
  static thread_local std::vector<std::unique_ptr<unsigned char[]>> spare_;
  std::vector<std::unique_ptr<unsigned char[]>> stacks_;
};

thread_local std::vector<std::unique_ptr<unsigned char[]>> Stacks::spare_;

class Fibers final : public Team {
 public:
  explicit Fibers(unsigned threads) : fibers_(threads), stacks_(threads), meeting_(threads) {}

  void run_block(const std::function<void()>& thread) override {
    thread_ = &thread;
    meeting_ = Rendezvous(meeting_.threads());
    for (unsigned t = 0; t < meeting_.threads(); ++t) start(t);
    const Position block = here;
    do {
      for (unsigned t = 0; t < meeting_.threads(); ++t) {
        if (meeting_.state(t) != Rendezvous::State::running) continue;
        here = block;
        here.thread = t;
        switch_to(main_, fibers_[t], false);
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
      }
    } while (meeting_.release() > 0);
    here = block;
    if (const std::string why = meeting_.stuck(); !why.empty()) throw Divergence(why);
  }

  std::array<std::uint64_t, Rendezvous::kWarp> wait(Rendezvous::State state, const char* operation, std::uint64_t value,
                                                    bool /*orders_memory*/) override {
    const unsigned thread = here.thread;
    meeting_.wait(thread, state, operation, value);
    switch_to(fibers_[thread], main_, false);
    return meeting_.values(thread);
  }

 private:
  void start(unsigned thread) {
    Context& fiber = fibers_[thread];
    fiber.stack = stacks_.at(thread);
    fiber.stack_bytes = kStackBytes;
    getcontext(&fiber.registers);
    fiber.registers.uc_stack.ss_sp = stacks_.at(thread);
    fiber.registers.uc_stack.ss_size = kStackBytes;
    fiber.registers.uc_link = nullptr;
    starting_ = this;
    makecontext(&fiber.registers, &Fibers::enter, 0);
  }

  static void enter() {
    Fibers& self = *starting_;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &self.main_.stack, &self.main_.stack_bytes);
#endif
    const unsigned thread = here.thread;
    try {
      (*self.thread_)();
    } catch (...) {
      self.error_ = std::current_exception();
    }
    self.meeting_.end(thread);
    switch_to(self.fibers_[thread], self.main_, true);
  }

  static thread_local Fibers* starting_;

  std::vector<Context> fibers_;
  Stacks stacks_;
  Context main_;
  Rendezvous meeting_;
  const std::function<void()>* thread_ = nullptr;
  std::exception_ptr error_;
};

thread_local Fibers* Fibers::starting_ = nullptr;

}  // namespace

std::unique_ptr<Team> make_fibers(unsigned threads) { return std::make_unique<Fibers>(threads); }

}  // namespace lamella::host_grid
