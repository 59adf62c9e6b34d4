// SPDX-License-Identifier: Apache-2.0
#include "core/log.hpp"

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/mutex.hpp"

namespace lamella {
namespace core {
namespace {

struct Receiver {
  Mutex mutex;
  std::shared_ptr<const LogFunction> function;  ///< null: none is set
  std::atomic<bool> is_set{false};
};

/// Never destroyed: static objects may use models until the process ends.
Receiver& receiver() {
  static Receiver& one = *new Receiver;
  return one;
}

/// Whether this thread logs nothing: it is in the function, or at its end.
thread_local bool is_quiet = false;

struct Kept {
  std::vector<std::pair<LogLevel, std::string>> messages;
  ~Kept() {
    kept_messages -= static_cast<int>(messages.size());
    is_quiet = true;
  }
};
thread_local Kept kept;

}  // namespace

bool is_logging() noexcept { return receiver().is_set.load(std::memory_order_relaxed) && !is_quiet; }

void keep_message(LogLevel level, std::string message) {
  kept.messages.emplace_back(level, std::move(message));
  ++kept_messages;
}

void deliver_messages() noexcept {
  if (is_quiet) return;
  const auto messages = std::exchange(kept.messages, {});
  if (messages.empty()) return;
  kept_messages -= static_cast<int>(messages.size());
  std::shared_ptr<const LogFunction> function;
  {
    const std::lock_guard lock(receiver().mutex);
    function = receiver().function;
  }
  if (!function) return;
  is_quiet = true;
  for (const auto& [level, text] : messages) {
    try {
      (*function)(level, text);
    } catch (...) {
    }
  }
  function.reset();  // what it owns may call lamella, too
  is_quiet = false;
}

}  // namespace core

void set_log_function(LogFunction function) {
  std::shared_ptr<const LogFunction> next;
  if (function) next = std::make_shared<const LogFunction>(std::move(function));
  core::Receiver& receiver = core::receiver();
  {
    const std::lock_guard lock(receiver.mutex);
    receiver.function.swap(next);
    receiver.is_set = receiver.function != nullptr;
  }
  // The last function is destroyed here, without the lock.
}

}  // namespace lamella
