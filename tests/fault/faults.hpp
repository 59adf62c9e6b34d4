// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

/// Makes allocations and system calls of this program fail on demand: operator new, aligned_alloc, zlib's own memory, and open,
/// fstat, pread, read, write, mmap, rename, fsync, linkat, close, pthread_create.
namespace lamella::fault {

/// Call number `n` (from 1 on) of those that can fail fails; with `forever` each later one too.
void arm(std::size_t n, bool forever);
/// Back to normal; returns how many calls were made to fail.
std::size_t disarm();
/// No thread can be made while this holds.
void refuse_threads(bool refuse);
/// Threads that were refused so far.
[[nodiscard]] std::size_t refused_threads();
/// Memory blocks that operator new gave and that have not come back, without those that oneDNN asked for: when memory runs out
/// while it makes a primitive, it loses a few of its own.
[[nodiscard]] std::size_t live_blocks();
/// The most memory that oneDNN mapped for what it makes before lamella asked the system for memory again.
[[nodiscard]] std::size_t most_bytes_of_onednn();
/// Descriptors that this process has open.
[[nodiscard]] std::size_t open_files();

}  // namespace lamella::fault
