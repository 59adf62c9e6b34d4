// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace lamella::malformed {

/// From this call on the process may open one file, read-only, and nothing else: no other file, socket or program. The kernel
/// counts attempts and refuses them with EACCES. A later call can only change the file.
void install_guard();
void allow_only(const char* path);
/// The number of forbidden calls since this was last called.
[[nodiscard]] int forbidden_calls();

/// This process's private writable memory, in bytes.
[[nodiscard]] std::size_t data_bytes();
/// Allows at most `bytes` more of it; larger allocations fail.
void limit_growth(std::size_t bytes);
void lift_limit();

}  // namespace lamella::malformed
