// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>

#include <lamella/log.hpp>

#include "core/format.hpp"

namespace lamella::core {

/// Whether a function is set that receives messages.
[[nodiscard]] LAMELLA_API bool is_logging() noexcept;
/// Keeps a message of this thread until deliver().
LAMELLA_API void keep_message(LogLevel level, std::string message);
/// Passes the messages that this thread has kept to that function.
void deliver_messages() noexcept;
/// How many messages all threads keep: at 0, no call looks for its own.
inline constinit std::atomic<int> kept_messages{0};

/// Keeps a message, which is delivered when this thread leaves lamella. May be called anywhere during a call, even under locks. A
/// message for which memory runs out is lost.
template <typename... Args>
void log(LogLevel level, FormatString<Args...> text, const Args&... args) noexcept {
  if (!is_logging()) return;
  try {
    keep_message(level, core::format(text, args...));
  } catch (...) {  // a call does not fail because of a message
  }
}

/// Declared first in public functions that may log, so that messages are delivered after everything else in the call has been
/// destroyed.
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
