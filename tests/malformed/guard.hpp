// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace lamella::malformed {

/// From here on this process may open one file, read-only, and nothing else: no other file, socket or program. What it tries is
/// counted and refused with EACCES. The kernel watches, not a wrapper. Once set, only the file may be changed.
void install_guard();
void allow_only(const char* path);
/// Forbidden calls since the last question.
[[nodiscard]] int forbidden_calls();

/// Bytes of private writable memory that this process has.
[[nodiscard]] std::size_t data_bytes();
/// At most `bytes` more of it: beyond, allocations fail.
void limit_growth(std::size_t bytes);
void lift_limit();

}  // namespace lamella::malformed
