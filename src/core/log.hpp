// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>

#include <lamella/log.hpp>

#include "core/format.hpp"

namespace lamella::core {

/// Whether anybody is told.
[[nodiscard]] LAMELLA_API bool is_logging() noexcept;
/// Keeps a message of this thread until deliver().
LAMELLA_API void keep_message(LogLevel level, std::string message);
/// Tells the messages that this thread has kept.
void deliver_messages() noexcept;
/// Messages kept by all threads: a call without any does not look for them.
inline constinit std::atomic<int> kept_messages{0};

/// Notes a message, which is told when this thread leaves lamella: allowed anywhere on the thread of a call, under locks too. A
/// message for which there is no memory is lost.
template <typename... Args>
void log(LogLevel level, FormatString<Args...> text, const Args&... args) noexcept {
  if (!is_logging()) return;
  try {
    keep_message(level, core::format(text, args...));
  } catch (...) {  // a call does not fail for a message
  }
}

/// Declared first in the functions of the interface that may log: tells the messages when all else of the call is gone.
class LogDelivery {
 public:
  LogDelivery() = default;
  ~LogDelivery() {
    if (kept_messages.load(std::memory_order_relaxed) != 0) deliver_messages();
  }
  LogDelivery(const LogDelivery&) = delete;
  LogDelivery& operator=(const LogDelivery&) = delete;
};

}  // namespace lamella::core
