// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <lamella/error.hpp>
#include <mutex>

#include "core/mutex.hpp"
#include "cpu/threads.hpp"

/// What has to hold while oneDNN works.
namespace lamella::cpu::onednn {

/// The process ends, and oneDNN's static objects with it: oneDNN must not be used any more.
class Ended : public Error {
 public:
  Ended() : Error(ErrorCode::cancelled, "[cpu] the process ends") {}
};

/// Held where oneDNN makes something: an engine, a description, a primitive, or what it puts off until a primitive's first run.
/// One thread at a time; no fork() of another thread falls in between, nor the end of the process. Throws std::bad_alloc where
/// memory is short: oneDNN writes the code that it makes without asking whether it got memory for it. Throws Ended.
class Door {
 public:
  Door();
  /// Once more, when something large was allocated behind the door.
  static void expect_memory();
  /// Destructors of oneDNN's static objects run when those made so far ran: then no more is asked of it.
  static void ends_before_what_was_made();

 private:
  std::lock_guard<core::Mutex> lock_;
  OneOmpThread one_;
};

/// Held where a primitive runs. False: the process ends, and oneDNN's static objects with it.
class Running {
 public:
  Running() noexcept;
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  explicit operator bool() const noexcept { return allowed_; }

 private:
  bool allowed_;
};

/// Lives for ever. Behind a Door only, or when one was open before.
[[nodiscard]] const dnnl::engine& cpu_engine();

}  // namespace lamella::cpu::onednn
