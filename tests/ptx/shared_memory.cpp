// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/shared_memory.hpp"

#include "tests/ptx/program.hpp"

namespace ptx {

void SharedMemory::reset(std::size_t bytes) {
  bytes_.assign(bytes, 0xCC);
  uses_.assign(bytes, Byte{});
}

/// Whether a use is by another thread, and nothing orders it before now.
bool SharedMemory::conflicts(const Use& use, const Moment& now) {
  if (use.block_epoch != now.block_epoch) return false;
  const bool same_warp = use.thread / kLanes == now.thread / kLanes;
  if (use.threads == 1 && use.thread == now.thread) return false;
  if (use.threads < 3 && same_warp && use.warp_epoch != now.warp_epoch) return false;
  other_ = use.thread;
  return true;
}

void SharedMemory::note(Use& use, const Moment& now, bool joins) {
  std::uint8_t threads = 1;
  if (joins && use.block_epoch == now.block_epoch) {
    const bool same_warp = use.thread / kLanes == now.thread / kLanes;
    if (!same_warp || use.threads == 3) {
      threads = 3;
    } else if (use.warp_epoch == now.warp_epoch && (use.thread != now.thread || use.threads == 2)) {
      threads = 2;
    }
  }
  use = {now.block_epoch, now.warp_epoch, static_cast<std::uint16_t>(now.thread), threads};
}

SharedMemory::Verdict SharedMemory::read(std::size_t offset, std::size_t bytes, const Moment& now) {
  Verdict verdict = Verdict::fine;
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    Byte& byte = uses_[i];
    if (byte.write.block_epoch == 0) {
      verdict = Verdict::undefined;
    } else if (conflicts(byte.write, now)) {
      verdict = Verdict::race;
    }
    note(byte.read, now, true);
  }
  return verdict;
}

SharedMemory::Verdict SharedMemory::write(std::size_t offset, std::size_t bytes, const Moment& now) {
  Verdict verdict = Verdict::fine;
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    Byte& byte = uses_[i];
    if (conflicts(byte.write, now) || conflicts(byte.read, now)) verdict = Verdict::race;
    note(byte.write, now, false);
  }
  return verdict;
}

}  // namespace ptx
