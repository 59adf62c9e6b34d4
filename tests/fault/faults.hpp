// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

/// Makes allocations and system calls of this program fail on demand: operator new, aligned_alloc, strdup, zlib's allocations,
/// and open, fstat, pread, read, write, mmap, rename, fsync, linkat, close, pthread_create.
namespace lamella::fault {

/// Makes the n-th call (from 1) of those that can fail fail; with `forever` all later ones too.
void arm(std::size_t n, bool forever);
/// Ends the failures and returns how many calls failed.
std::size_t disarm();
/// While set, no thread can be created.
void refuse_threads(bool refuse);
/// The number of threads refused so far.
[[nodiscard]] std::size_t refused_threads();
/// The number of live blocks from operator new, except those that oneDNN requested: it leaks a few of its own when memory runs
/// out while it creates a primitive.
[[nodiscard]] std::size_t live_blocks();
/// The most memory that oneDNN mapped between two requests of lamella to the system for memory.
[[nodiscard]] std::size_t most_bytes_of_onednn();
/// The number of this process's open descriptors.
[[nodiscard]] std::size_t open_files();

}  // namespace lamella::fault
