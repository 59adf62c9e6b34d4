// SPDX-License-Identifier: Apache-2.0
#include "fiber.hpp"

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

/// `first`: where nobody has left `to` yet.
[[gnu::noinline]] LAMELLA_UNRECORDED void exchange(void** from, void** to, const ucontext_t* first) {
  if (__builtin_setjmp(from) != 0) return;
  if (first != nullptr) setcontext(first);
  jump(to);
}

}  // namespace

LAMELLA_UNRECORDED void Fiber::cross(Place& from, Place& to, const ucontext_t* first) {
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, to.stack, to.stack_bytes);
#endif
  watch::switch_to(to.watched);
  exchange(from.registers.data(), to.registers.data(), first);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, &to.stack, &to.stack_bytes);
#endif
}

LAMELLA_UNRECORDED Fiber::Fiber() : stack_(new unsigned char[kStackBytes]) {
  inside_ = {.registers = {}, .stack = stack_.get(), .stack_bytes = kStackBytes, .watched = watch::create()};
  outside_.watched = watch::current();
  ucontext_t first{};
  getcontext(&first);
  first.uc_stack.ss_sp = stack_.get();
  first.uc_stack.ss_size = kStackBytes;
  makecontext(&first, &Fiber::enter, 0);
  entering = this;
  cross(outside_, inside_, &first);
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
  outside_.watched = watch::current();
  cross(outside_, inside_);
}

LAMELLA_UNRECORDED void Fiber::leave() { cross(inside_, outside_); }

}  // namespace lamella::host_grid
