// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/shared_memory.hpp"

#include <algorithm>

#include "tests/ptx/program.hpp"

namespace ptx {

void SharedMemory::reset(std::size_t bytes, std::uint32_t epoch, bool clustered) {
  marks_.assign(clustered ? bytes : 0, {});
  bytes_.assign(bytes, 0xCC);
  if (in_flight_ > 0) uses_.clear();  // left by a block whose threads ended without waiting
  in_flight_ = 0;
  uses_.resize(bytes);
  first_epoch_ = epoch;
}

/// Whether a use by another thread is unordered with now.
bool SharedMemory::conflicts(const Use& use, const Moment& now) {
  if (use.block_epoch != now.block_epoch) return false;
  const bool same_warp = use.thread / kLanes == now.thread / kLanes;
  if (use.threads == 1 && use.thread == now.thread) return false;
  if (use.threads < 3 && same_warp && use.warp_epoch != (now.warp_epoch & 0xFFFFFU)) return false;
  other_ = use.thread;
  return true;
}

void SharedMemory::note(Use& use, const Moment& now, bool joins) {
  std::uint32_t threads = 1;
  if (joins && use.block_epoch == now.block_epoch) {
    const bool same_warp = use.thread / kLanes == now.thread / kLanes;
    if (!same_warp || use.threads == 3) {
      threads = 3;
    } else if (use.warp_epoch == (now.warp_epoch & 0xFFFFFU) && (use.thread != now.thread || use.threads == 2)) {
      threads = 2;
    }
  }
  use = {now.block_epoch, now.warp_epoch & 0xFFFFFU, now.thread & 0x3FFU, threads & 3U};
}

SharedMemory::Verdict SharedMemory::use(Byte& byte, const Moment& now, bool write) {
  Verdict verdict = Verdict::fine;
  if (byte.write.block_epoch == kInFlight) return Verdict::in_flight;
  if (!write && byte.write.block_epoch < first_epoch_) {
    verdict = Verdict::undefined;
  } else if (conflicts(byte.write, now) || (write && conflicts(byte.read, now))) {
    verdict = Verdict::race;
  }
  note(write ? byte.write : byte.read, now, !write);
  return verdict;
}

void SharedMemory::begin_copy(std::size_t offset, std::size_t bytes) {
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    in_flight_ += uses_[i].write.block_epoch == kInFlight ? 0 : 1;
    uses_[i].write.block_epoch = kInFlight;
  }
}

void SharedMemory::arrive(std::size_t offset, std::span<const unsigned char> data, const Moment& now) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    bytes_[offset + i] = data[i];
    in_flight_ -= uses_[offset + i].write.block_epoch == kInFlight ? 1 : 0;
    if (marks_.empty()) {
      note(uses_[offset + i].write, now, false);
    } else {
      note_in_cluster(uses_[offset + i].write, marks_[offset + i].write, now, false);
    }
  }
}

bool SharedMemory::conflicts_in_cluster(const Use& use, const Mark& mark, const Moment& now) {
  if (use.block_epoch < first_epoch_ || now.waited > mark.arrived) return false;
  if (mark.blocks == 0 && mark.rank == now.rank) return conflicts(use, now);
  other_ = use.thread;
  return true;
}

void SharedMemory::note_in_cluster(Use& use, Mark& mark, const Moment& now, bool joins) const {
  const bool unordered = use.block_epoch >= first_epoch_ && use.block_epoch != kInFlight && now.waited <= mark.arrived;
  const bool of_others = joins && unordered && (mark.blocks != 0 || mark.rank != now.rank);
  const std::uint32_t arrived = joins && unordered ? std::max<std::uint32_t>(mark.arrived, now.arrived) : now.arrived;
  note(use, now, joins && !of_others);
  if (of_others) use.threads = 3;
  mark = {arrived & 0xFFFFFFU, now.rank & 0x7FU, of_others ? 1U : 0U};
}

SharedMemory::Verdict SharedMemory::use_in_cluster(std::size_t at, const Moment& now, bool write) {
  Byte& byte = uses_[at];
  Marks& marks = marks_[at];
  Verdict verdict = Verdict::fine;
  if (byte.write.block_epoch == kInFlight) return Verdict::in_flight;
  if (!write && byte.write.block_epoch < first_epoch_) {
    verdict = Verdict::undefined;
  } else if (conflicts_in_cluster(byte.write, marks.write, now) || (write && conflicts_in_cluster(byte.read, marks.read, now))) {
    verdict = Verdict::race;
  }
  note_in_cluster(write ? byte.write : byte.read, write ? marks.write : marks.read, now, !write);
  return verdict;
}

SharedMemory::Verdict SharedMemory::use(std::size_t offset, std::size_t bytes, const Moment& now, bool write) {
  if (!marks_.empty()) {
    Verdict worst = Verdict::fine;
    for (std::size_t i = offset; i < offset + bytes; ++i) {
      if (const Verdict one = use_in_cluster(i, now, write); one != Verdict::fine) worst = one;
    }
    return worst;
  }
  const Byte before = uses_[offset];
  Verdict verdict = use(uses_[offset], now, write);
  for (std::size_t i = offset + 1; i < offset + bytes; ++i) {
    if (uses_[i] == before) {  // the common case
      uses_[i] = uses_[offset];
    } else if (const Verdict other = use(uses_[i], now, write); other != Verdict::fine) {
      verdict = other;
    }
  }
  return verdict;
}

}  // namespace ptx
