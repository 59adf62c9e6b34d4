// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include <lamella/export.hpp>

namespace lamella::core {

/// A mutex that no fork() of another thread finds locked: fork() takes them all first, so that the child has a use of each. What
/// happens under one is short, or is worth that a fork() waits for it.
class LAMELLA_API Mutex {
 public:
  Mutex();
  ~Mutex();
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() { mutex_.lock(); }
  bool try_lock() { return mutex_.try_lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  friend class Mutexes;
  std::mutex mutex_;
  Mutex* before_ = nullptr;
  Mutex* next_ = nullptr;
  bool taken_ = false;  ///< by fork()
};

}  // namespace lamella::core
