// SPDX-License-Identifier: Apache-2.0
#include "core/mutex.hpp"

#include <pthread.h>

#include <chrono>
#include <thread>

namespace lamella::core {

/// All existing mutexes.
class Mutexes {
 public:
  static void add(Mutex& mutex) {
    const std::lock_guard lock(guard);
    mutex.next_ = first;
    if (first != nullptr) first->before_ = &mutex;
    first = &mutex;
  }
  static void remove(Mutex& mutex) {
    const std::lock_guard lock(guard);
    if (mutex.next_ != nullptr) mutex.next_->before_ = mutex.before_;
    (mutex.before_ != nullptr ? mutex.before_->next_ : first) = mutex.next_;
  }

  /// Never holds one while it waits for another, so other code may lock them in any order. Gives up eventually: a thread may hold
  /// one for long, and a signal handler may fork meanwhile.
  static void take_all() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    guard.lock();
    while (!take(std::chrono::steady_clock::now() > until)) {
      give_back();
      guard.unlock();
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      guard.lock();
    }
  }
  static void release_all() {
    give_back();
    guard.unlock();
  }

 private:
  /// False: one of them is locked, and `anyway` is false.
  static bool take(bool anyway) {
    for (Mutex* mutex = first; mutex != nullptr; mutex = mutex->next_) {
      mutex->taken_ = mutex->mutex_.try_lock();
      if (!mutex->taken_ && !anyway) return false;
    }
    return true;
  }
  static void give_back() {
    for (Mutex* mutex = first; mutex != nullptr; mutex = mutex->next_) {
      if (mutex->taken_) mutex->mutex_.unlock();
      mutex->taken_ = false;
    }
  }

  static inline constinit std::mutex guard;
  static inline constinit Mutex* first = nullptr;
};

namespace {

[[maybe_unused]] const int kRegistered = ::pthread_atfork(Mutexes::take_all, Mutexes::release_all, Mutexes::release_all);

}  // namespace

Mutex::Mutex() { Mutexes::add(*this); }
Mutex::~Mutex() { Mutexes::remove(*this); }

}  // namespace lamella::core
