// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "tests/ptx/lanewise.hpp"

/// cp.async: copies from global to shared memory. The source is read at once. The data may be used by the thread that began the
/// copy once it has waited for it, and by other threads after a further barrier.
namespace ptx {

void Warp::begin_copies(const Instruction& in, u32 lanes) {
  const Bits sources = addresses_of(in.source);
  const Bits targets = addresses_of(in.address);
  each_lane(lanes, [&](unsigned lane) {
    const std::size_t bytes = bits(in.from[0], lane);
    const std::size_t brought = in.from.size() > 1 ? bits(in.from[1], lane) : bytes;
    Copy copy{lane, committed_[lane], 0, bytes, {}};
    if (bytes > copy.data.size() || brought > bytes)
      return report(Fault::bounds, in, lane, "a copy of " + std::to_string(brought) + " of " + std::to_string(bytes) + " bytes");
    if (sources[lane] % bytes != 0)
      return report(Fault::alignment, in, lane, "the source of a copy of " + std::to_string(bytes) + " bytes");
    if (brought > 0) {
      const unsigned char* const from = reach_global(in, lane, sources[lane], brought, false);
      if (from == nullptr) return;
      std::memcpy(copy.data.data(), from, brought);  // zeros behind
    }
    unsigned char* const at = reach_alone(in, lane, targets[lane], bytes, true);
    if (at == nullptr) return;
    copy.offset = static_cast<std::size_t>(at - block.shared.at(0));
    block.shared.begin_copy(copy.offset, bytes);
    copies_.push_back(copy);
  });
}

void Warp::commit_copies(u32 lanes) {
  each_lane(lanes, [&](unsigned lane) { ++committed_[lane]; });
}

void Warp::finish_copies(u32 lanes, u32 pending, bool open) {
  std::erase_if(copies_, [&](const Copy& copy) {
    if ((lanes >> copy.lane & 1U) == 0 || (!open && copy.group + pending >= committed_[copy.lane])) return false;
    block.shared.arrive(copy.offset, std::span(copy.data).first(copy.bytes), now(copy.lane));
    return true;
  });
}

namespace {

void begin(Warp& warp, const Instruction& in, u32 lanes) { warp.begin_copies(in, lanes); }
void commit(Warp& warp, const Instruction&, u32 lanes) { warp.commit_copies(lanes); }
void wait(Warp& warp, const Instruction& in, u32 lanes) {
  warp.finish_copies(lanes, static_cast<u32>(warp.bits(in.from[0], 0)), false);
}
void wait_for_all(Warp& warp, const Instruction&, u32 lanes) { warp.finish_copies(lanes, 0, true); }

}  // namespace

void copy_forms(Table& table) {
  for (const char* cached : {".ca", ".cg"}) {
    table[std::string("cp.async") + cached + ".shared.global"] = {
        .run = &begin, .from = {Role::b32, Role::b32}, .optional_from = true, .addresses = 2, .memory = {.space = Space::shared}};
  }
  table["cp.async.commit_group"] = {.run = &commit};
  table["cp.async.wait_group"] = {.run = &wait, .from = {Role::b32}};
  table["cp.async.wait_all"] = {.run = &wait_for_all};
}

}  // namespace ptx
