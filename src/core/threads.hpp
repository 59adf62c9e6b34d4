// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

/// The threads that work beside the calling one. They are the process's: every model uses the same.
namespace lamella::core {

namespace detail {

void run_parts(std::int64_t parts, int threads, double nanoseconds, void (*part)(void*, std::int64_t), void* context);

}  // namespace detail

/// f(part) for every part of [0, parts), by the calling thread and as many others as are free, at most `threads` in all. Returns
/// when all are done, and then throws what the first part that failed threw.
///
/// The calling thread never waits for a part that nobody has begun: it does that itself. Others help when they are awake, or when
/// `nanoseconds` of work in all are worth waking them; they are made when they are first needed, and where the system refuses to
/// make them there are fewer. Which thread does which part is left to chance; results must not depend on it.
template <typename F>
void for_parts(std::int64_t parts, int threads, double nanoseconds, const F& f) {
  if (threads <= 1 || parts <= 1) {
    for (std::int64_t i = 0; i < parts; ++i) f(i);
    return;
  }
  const auto part = [](void* context, std::int64_t i) { (*static_cast<const F*>(context))(i); };
  detail::run_parts(parts, threads, nanoseconds, part, const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

}  // namespace lamella::core
