// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include <lamella/export.hpp>

namespace lamella::core {

/// A mutex that a forked child can use: fork() first locks all of them, so that no other thread holds one in the child. Critical
/// sections are short, or worth making a fork() wait.
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
