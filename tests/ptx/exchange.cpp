// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "tests/ptx/lanewise.hpp"

/// Instructions that the lanes of a warp execute together, and barriers.
namespace ptx {
namespace {

enum class Shuffle { up, down, butterfly, index };

/// Exchanges are within segments of the warp: bits 8 to 12 of the control are a mask of the bits of a lane's number that identify
/// its segment, the low five bits say where the segment ends (up: where it starts).
template <Shuffle kHow>
void shuffle(Warp& warp, const Instruction& in, u32 lanes) {
  const std::array<u32, kLanes> values = [&] {
    std::array<u32, kLanes> copy{};
    std::copy_n(warp.lanes<u32>(in.from[0]), kLanes, copy.begin());
    return copy;
  }();
  u32 from_there = 0;
  each_lane(lanes, [&](unsigned lane) {
    const auto by = static_cast<u32>(warp.bits(in.from[1], lane)) & 31U;
    const auto control = static_cast<u32>(warp.bits(in.from[2], lane));
    const u32 segment = control >> 8 & 31U;
    const u32 last = (lane & segment) | (control & 31U & ~segment);
    const u32 first = lane & segment;
    u32 source = lane;
    bool valid = false;
    switch (kHow) {
      case Shuffle::up:
        source = lane - by;
        valid = static_cast<s32>(source) >= static_cast<s32>(last);
        break;
      case Shuffle::down:
        source = lane + by;
        valid = source <= last;
        break;
      case Shuffle::butterfly:
        source = lane ^ by;
        valid = source <= last;
        break;
      case Shuffle::index:
        source = first | (by & ~segment);
        valid = source <= last;
        break;
    }
    if (!valid) source = lane;
    if ((lanes >> source & 1U) == 0)
      warp.report(Fault::lanes, in, lane, "reads lane " + std::to_string(source) + ", which does not take part");
    warp.lanes<u32>(in.to[0])[lane] = values[source];
    from_there |= u32{valid} << lane;
  });
  u32& valid = warp.predicate(in.to[1]);
  valid = (valid & ~lanes) | (from_there & lanes);
}

enum class Vote { all, any, uniform, ballot };

template <Vote kHow>
void vote(Warp& warp, const Instruction& in, u32 lanes) {
  const u32 votes = warp.predicate(in.from[0]) & lanes;
  if constexpr (kHow == Vote::ballot) {
    each_lane(lanes, [&](unsigned lane) { warp.lanes<u32>(in.to[0])[lane] = votes; });
  } else {
    const bool result = kHow == Vote::any ? votes != 0 : (votes == lanes || (kHow == Vote::uniform && votes == 0));
    u32& to = warp.predicate(in.to[0]);
    to = result ? to | lanes : to & ~lanes;
  }
}

void warp_barrier(Warp& warp, const Instruction&, u32) { warp.order(); }

void trap(Warp& warp, const Instruction& in, u32 lanes) {
  warp.report(Fault::trap, in, static_cast<unsigned>(std::countr_zero(lanes)), "the kernel stops here");
  throw Stopped();
}

void let_next_begin(Warp& warp, const Instruction&, u32) { warp.block.lets_next_begin = true; }

void active_mask(Warp& warp, const Instruction& in, u32 lanes) {
  each_lane(lanes, [&](unsigned lane) { warp.lanes<u32>(in.to[0])[lane] = lanes; });
}

template <Shuffle kHow>
void shuffle_form(Table& table, const std::string& name) {
  table["shfl.sync." + name + ".b32"] = {.run = &shuffle<kHow>,
                                         .flow = Flow::meeting,
                                         .to = {Role::b32, Role::predicate},
                                         .from = {Role::b32, Role::b32, Role::b32, Role::b32},
                                         .optional_to = true};
}
template <Vote kHow>
void vote_form(Table& table, const std::string& name, Role to) {
  table["vote.sync." + name] = {.run = &vote<kHow>, .flow = Flow::meeting, .to = {to}, .from = {Role::predicate, Role::b32}};
}

}  // namespace

void exchange_forms(Table& table) {
  shuffle_form<Shuffle::up>(table, "up");
  shuffle_form<Shuffle::down>(table, "down");
  shuffle_form<Shuffle::butterfly>(table, "bfly");
  shuffle_form<Shuffle::index>(table, "idx");
  vote_form<Vote::all>(table, "all.pred", Role::predicate);
  vote_form<Vote::any>(table, "any.pred", Role::predicate);
  vote_form<Vote::uniform>(table, "uni.pred", Role::predicate);
  vote_form<Vote::ballot>(table, "ballot.b32", Role::b32);
  table["bar.warp.sync"] = {.run = &warp_barrier, .flow = Flow::meeting, .from = {Role::b32}};
  table["trap"] = {.run = &trap};
  table["activemask.b32"] = {.run = &active_mask, .to = {Role::b32}};
  table["griddepcontrol.wait"] = {.flow = Flow::grids};
  table["griddepcontrol.launch_dependents"] = {.run = &let_next_begin};
  table["bar.sync"] = {.flow = Flow::barrier, .from = {Role::b32}};
  table["barrier.sync"] = {.flow = Flow::barrier, .from = {Role::b32}};
}

}  // namespace ptx
