// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <lamella/error.hpp>
#include <mutex>

#include "core/mutex.hpp"
#include "cpu/threads.hpp"

/// Guards for calls of oneDNN.
namespace lamella::cpu::onednn {

/// The process is exiting and oneDNN's static objects are being destroyed: oneDNN must not be used any more.
class Ended : public Error {
 public:
  Ended() : Error(ErrorCode::cancelled, "[cpu] the process ends") {}
};

/// Held while oneDNN creates something: an engine, a description, a primitive, or what it defers to a primitive's first run. One
/// thread at a time; no fork() of another thread, and no process exit, happens meanwhile. Throws std::bad_alloc if memory is
/// short, because oneDNN writes generated code without checking its allocation. Throws Ended.
class Door {
 public:
  Door();
  /// Checks again, after something large was allocated while the door is held.
  static void expect_memory();
  /// Registers the end again after oneDNN created static objects, so that oneDNN is not used once their destructors run.
  static void ends_before_what_was_made();

 private:
  std::lock_guard<core::Mutex> lock_;
  OneOmpThread one_;
};

/// Held while a primitive runs. False: the process is exiting and oneDNN's static objects are being destroyed.
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

/// Never destroyed. Call only while a Door is held, or after one has been.
[[nodiscard]] const dnnl::engine& cpu_engine();

}  // namespace lamella::cpu::onednn
