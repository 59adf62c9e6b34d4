// SPDX-License-Identifier: Apache-2.0
#include "fiber.hpp"

#include <ucontext.h>

#include "watch.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace lamella::host_grid {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10U;  // of virtual memory: what is not touched costs nothing

thread_local Fiber* entering = nullptr;

// Each a function of its own, as the builtins want it: none is left by the jump that comes back to it.
[[gnu::noinline]] LAMELLA_UNRECORDED void jump(void** to) { __builtin_longjmp(to, 1); }

[[gnu::noinline]] LAMELLA_UNRECORDED void exchange(void** from, void** to) {
  if (__builtin_setjmp(from) == 0) jump(to);
}

[[gnu::noinline]] LAMELLA_UNRECORDED void exchange_first(void** from, const ucontext_t& to) {
  if (__builtin_setjmp(from) == 0) setcontext(&to);
}

}  // namespace

LAMELLA_UNRECORDED Fiber::Fiber() : stack_(new unsigned char[kStackBytes]) {
  inside_ = {.registers = {}, .stack = stack_.get(), .stack_bytes = kStackBytes, .watched = watch::create()};
  outside_.watched = watch::current();
  ucontext_t first{};
  getcontext(&first);
  first.uc_stack.ss_sp = stack_.get();
  first.uc_stack.ss_size = kStackBytes;
  makecontext(&first, &Fiber::enter, 0);
  entering = this;
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, inside_.stack, inside_.stack_bytes);
#endif
  watch::switch_to(inside_.watched);
  exchange_first(outside_.registers.data(), first);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

Fiber::~Fiber() { watch::destroy(inside_.watched); }

LAMELLA_UNRECORDED void Fiber::enter() {
  Fiber& self = *entering;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &self.outside_.stack, &self.outside_.stack_bytes);
#endif
  for (;;) {
    self.leave();
    self.job_(self.argument_);
  }
}

LAMELLA_UNRECORDED void Fiber::resume() {
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, inside_.stack, inside_.stack_bytes);
#endif
  outside_.watched = watch::current();
  watch::switch_to(inside_.watched);
  exchange(outside_.registers.data(), inside_.registers.data());
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

LAMELLA_UNRECORDED void Fiber::leave() {
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, outside_.stack, outside_.stack_bytes);
#endif
  watch::switch_to(outside_.watched);
  exchange(inside_.registers.data(), outside_.registers.data());
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, &outside_.stack, &outside_.stack_bytes);
#endif
}

}  // namespace lamella::host_grid
