// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "tests/ptx/warp.hpp"

/// Finds the memory of an access and checks that it is allowed.
namespace ptx {
namespace {

std::string hexadecimal(std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  return "0x" + std::string(digits.data(), end);
}

std::string access(std::size_t bytes, bool write) {
  return (write ? "a store of " : "a load of ") + std::to_string(bytes) + " bytes ";
}

}  // namespace

std::uint32_t Warp::reach(const Instruction& in, std::uint32_t lanes, std::size_t bytes, bool write, Places& places) {
  const Bits addresses = addresses_of(in.address);
  places = std::bit_cast<Places>(addresses);
  if (reach_together(in, lanes, bytes, write, places)) return lanes;
  std::uint32_t good = 0;
  each_lane(lanes, [&](unsigned lane) {
    places[lane] = reach_alone(in, lane, addresses[lane], bytes, write);
    good |= std::uint32_t{places[lane] != nullptr} << lane;
  });
  return good;
}

Warp::Bits Warp::addresses_of(const Address& address) {
  Bits all = bits(address.base);
  for (std::uint64_t& one : all) one += static_cast<std::uint64_t>(address.displacement);
  return all;
}

/// Whether all accesses are allowed in the allocation that the instruction used before.
bool Warp::reach_together(const Instruction& in, std::uint32_t lanes, std::size_t bytes, bool write, const Places& places) const {
  if (in.address.space != Space::global && in.address.space != Space::generic) return false;
  MemoryMap::Range* const range = block.grid.ranges[static_cast<std::size_t>(&in - block.grid.program.code.data())];
  if (range == nullptr || range->bytes < bytes || (write && range->access == MemoryMap::Access::read)) return false;
  if (write && block.grid.overlaps && (lanes & ~waited_) != 0) return false;
  const std::uint64_t most = range->bytes - bytes;
  const auto addresses = std::bit_cast<Bits>(places);
  std::uint32_t wrong = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const std::uint64_t address = addresses[lane];
    wrong |= std::uint32_t{address - range->begin > most || (address & (bytes - 1)) != 0} << lane;
  }
  if ((wrong & lanes) != 0) return false;
  if (block.grid.has_blocks) {
    bool alone = true;
    each_lane(lanes, [&](unsigned lane) { alone = range->use(addresses[lane], bytes, write) && alone; });
    if (!alone) return false;
  }
  if (range->written.empty()) return true;
  bool defined = true;
  each_lane(lanes, [&](unsigned lane) {
    if (write) {
      range->write(addresses[lane], bytes);
    } else {
      defined = defined && range->is_written(addresses[lane], bytes);
    }
  });
  return defined;
}

unsigned char* Warp::reach_alone(const Instruction& in, unsigned lane, std::uint64_t address, std::size_t bytes, bool write) {
  if (address % bytes != 0) {
    report(Fault::alignment, in, lane, access(bytes, write) + "at " + hexadecimal(address));
    return nullptr;
  }
  switch (in.address.space) {
    case Space::shared:
      return reach_shared(in, lane, in.address.base.width == 4 ? static_cast<std::uint32_t>(address) : address, bytes, write);
    case Space::cluster:
      return reach_cluster(in, lane, static_cast<std::uint32_t>(address), bytes, write);
    case Space::local:
      return reach_local(in, lane, in.address.base.width == 4 ? static_cast<std::uint32_t>(address) : address, bytes, write);
    case Space::parameter:
      return reach_parameter(in, lane, address, bytes, write);
    case Space::generic:
      if (address - kSharedWindow < kWindow) return reach_shared(in, lane, address - kSharedWindow, bytes, write);
      if (address - kLocalWindow < kWindow) return reach_local(in, lane, address - kLocalWindow, bytes, write);
      break;
    case Space::global:
      break;
  }
  return reach_global(in, lane, address, bytes, write);
}

unsigned char* Warp::reach_global(const Instruction& in, unsigned lane, std::uint64_t address, std::size_t bytes, bool write) {
  MemoryMap::Range* const found = block.grid.memory.before(address);
  if (found == nullptr || !found->holds(address, bytes)) {
    for (const auto& [begin, size] : block.grid.program.globals) {
      if (address - begin < size && bytes <= size - (address - begin)) return reinterpret_cast<unsigned char*>(address);
    }
    const std::string near = found == nullptr ? "below all allocations"
                                              : std::to_string(address - found->begin) + " bytes into " + found->name +
                                                    ", which has " + std::to_string(found->bytes);
    report(Fault::bounds, in, lane, access(bytes, write) + "at " + hexadecimal(address) + ", " + near);
    return nullptr;
  }
  if (write) check_waited(in, 1U << lane, "writes global memory");
  MemoryMap::Range& range = *found;
  block.grid.ranges[static_cast<std::size_t>(&in - block.grid.program.code.data())] = found;
  (write ? range.was_written : range.was_read) = true;
  if (write && range.access == MemoryMap::Access::read) {
    report(Fault::read_only, in, lane, access(bytes, write) + "to " + range.name);
    return nullptr;
  }
  if (block.grid.has_blocks) {
    if (std::find(block.grid.used.begin(), block.grid.used.end(), found) == block.grid.used.end())
      block.grid.used.push_back(found);
    if (!range.use(address, bytes, write))
      report(Fault::race, in, lane,
             access(bytes, write) + "at byte " + std::to_string(address - range.begin) + " of " + range.name +
                 ", which another block of the launch uses");
  }
  if (!range.written.empty()) {
    if (write) {
      range.write(address, bytes);
    } else if (!range.is_written(address, bytes)) {
      report(Fault::undefined_memory, in, lane,
             access(bytes, write) + "at byte " + std::to_string(address - range.begin) + " of " + range.name);
    }
  }
  return reinterpret_cast<unsigned char*>(address);
}

Moment Warp::now(unsigned lane) const {
  if (!block.grid.program.has_clusters) return {index_ * kLanes + lane, block.epoch, epoch_};
  return {index_ * kLanes + lane, block.epoch, epoch_, block.rank(), arrived_[lane], passed_[lane]};
}

unsigned char* Warp::reach_shared(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write,
                                  Block* of) {
  SharedMemory& shared = of == nullptr ? block.shared : of->shared;
  if (offset > shared.size() || bytes > shared.size() - offset) {
    report(
        Fault::bounds, in, lane,
        access(bytes, write) + "at " + hexadecimal(offset) + " of " + std::to_string(shared.size()) + " bytes of shared memory");
    return nullptr;
  }
  const SharedMemory::Verdict verdict = write ? shared.write(offset, bytes, now(lane)) : shared.read(offset, bytes, now(lane));
  if (verdict == SharedMemory::Verdict::undefined)
    report(Fault::undefined_memory, in, lane, access(bytes, write) + "at " + hexadecimal(offset) + " of shared memory");
  if (verdict == SharedMemory::Verdict::in_flight)
    report(Fault::in_flight, in, lane,
           access(bytes, write) + "at " + hexadecimal(offset) + " of shared memory, which an asynchronous copy may write yet");
  if (verdict == SharedMemory::Verdict::race)
    report(Fault::race, in, lane,
           access(bytes, write) + "at " + hexadecimal(offset) + " of shared memory, which thread " +
               std::to_string(shared.other()) + " used since the last barrier");
  return shared.at(offset);
}

unsigned char* Warp::reach_local(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write) {
  const std::size_t size = block.grid.program.local_bytes;
  if (offset > size || bytes > size - offset) {
    report(Fault::bounds, in, lane,
           access(bytes, write) + "at " + hexadecimal(offset) + " of " + std::to_string(size) + " bytes of local memory");
    return nullptr;
  }
  const std::size_t at = lane * size + offset;
  const auto first = local_written_.begin() + static_cast<std::ptrdiff_t>(at);
  const auto last = first + static_cast<std::ptrdiff_t>(bytes);
  if (write) {
    std::fill(first, last, true);
  } else if (std::find(first, last, false) != last) {
    report(Fault::undefined_memory, in, lane, access(bytes, write) + "at " + hexadecimal(offset) + " of local memory");
  }
  return local_.data() + at;
}

unsigned char* Warp::reach_parameter(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write) {
  const auto parameters = block.grid.how.parameters;
  if (write || offset > parameters.size() || bytes > parameters.size() - offset) {
    report(
        Fault::bounds, in, lane,
        access(bytes, write) + "at " + hexadecimal(offset) + " of " + std::to_string(parameters.size()) + " bytes of parameters");
    return nullptr;
  }
  return const_cast<unsigned char*>(parameters.data()) + offset;
}

}  // namespace ptx
