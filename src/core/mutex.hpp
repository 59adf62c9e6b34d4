// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include <lamella/export.hpp>

namespace lamella::core {

/// A mutex that is never locked by another thread at a fork(): fork() locks them all first, so that the child can use each.
/// Critical sections are short, or worth making a fork() wait.
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
