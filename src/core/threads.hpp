// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

/// The pool of threads that help calling threads. There is one per process, shared by all models.
namespace lamella::core {

namespace detail {

void run_parts(std::int64_t parts, int threads, double nanoseconds, void (*part)(void*, std::int64_t), void* context);

}  // namespace detail

/// Calls f(part) for every part of [0, parts), on the calling thread and idle threads of the pool, at most `threads` in all.
/// Returns when all are done, and then rethrows the exception of the first part that failed.
///
/// The calling thread never waits for a part that has not been started: it runs it itself. Others help if they are awake, or if a
/// total of `nanoseconds` of work justifies waking them; they are created when first needed, and if the system cannot create them
/// there are fewer. Which thread runs which part is not determined; results must not depend on it.
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
