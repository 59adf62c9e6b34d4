// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ucontext.h>

#include <array>
#include <cstddef>
#include <memory>

namespace lamella::host_grid {

/// A stack to run jobs on, one after another, that can be left in the middle of a job. A job is gone on with by the host's thread
/// that began it; the next one may be another's. Entering and leaving is a jump and no system call, which would take longer than
/// what a kernel does between two barriers.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() begins job(argument), which lets nothing out by throwing. No job may be under way.
  void start(void (*job)(void*), void* argument) {
    job_ = job;
    argument_ = argument;
  }
  /// Goes on with the job. Returns when the job has called leave() or ended.
  void resume();
  /// To be called by the job: goes on behind resume().
  void leave();

 private:
  /// Where somebody goes on; the sanitizers are told of every switch, and on what stack it is.
  struct Place {
    std::array<void*, 5> registers{};  // of __builtin_setjmp
    const void* stack = nullptr;
    std::size_t stack_bytes = 0;
    void* watched = nullptr;
  };
  static void enter();
  static void cross(Place& from, Place& to, const ucontext_t* first = nullptr);

  std::unique_ptr<unsigned char[]> stack_;
  void (*job_)(void*) = nullptr;
  void* argument_ = nullptr;
  Place inside_;
  Place outside_;
};

}  // namespace lamella::host_grid
