// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/warp.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ptx {
namespace {

std::string hexadecimal(std::uint32_t mask) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += digits[(mask >> shift) & 15];
  return text;
}

}  // namespace

void Warp::start(unsigned index, std::uint32_t lanes) {
  const Program& program = block.grid.program;
  index_ = index;
  started_ = live_ = lanes;
  waited_ = 0;
  arrived_.fill(0);
  passed_.fill(0xFFFF'FFFF);
  each_lane(lanes, [&](unsigned lane) { passed_[lane] = 0; });
  epoch_ = 1;
  if (registers_.empty())
    registers_ = program.image;  // registers left by another block count as unwritten, and constants are never written
  written_ = program.written;
  local_.assign(program.local_bytes * kLanes, 0xCC);
  local_written_.assign(local_.size(), false);
  ready_ = {{0, lanes}};
  waiting_.clear();
  copies_.clear();
  committed_.fill(0);
  for (const auto& [which, slot] : program.specials) set_special(which, this->lanes<std::uint32_t>(slot));
}

void Warp::set_special(Special which, std::uint32_t* lanes) const {
  const auto& how = block.grid.how;
  const auto& [width, height, depth] = how.block;
  const std::array<unsigned, 16> of_all = {
      0,           0,           0,           width, height, depth,        block.index[0], block.index[1], block.index[2],
      how.grid[0], how.grid[1], how.grid[2], 0,     index_, block.rank(), how.cluster};
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const unsigned thread = index_ * kLanes + lane;
    switch (which) {
      case Special::tid_x:
        lanes[lane] = thread % width;
        break;
      case Special::tid_y:
        lanes[lane] = thread / width % height;
        break;
      case Special::tid_z:
        lanes[lane] = thread / width / height;
        break;
      case Special::laneid:
        lanes[lane] = lane;
        break;
      default:
        lanes[lane] = of_all[static_cast<std::size_t>(which)];
    }
  }
}

Warp::State Warp::run() {
  for (;;) {
    while (!ready_.empty()) go_on(take_ready());
    if (waiting_.empty()) return State::ended;
    if (std::any_of(waiting_.begin(), waiting_.end(), [&](const Group& group) { return is_stopped(group); }))
      return State::stopped;
    if (waiting_.size() > 1 || waits_at().flow != Flow::barrier) stuck();
    return State::at_barrier;
  }
}

const Instruction& Warp::waits_at() const { return block.grid.program.code[waiting_.front().pc]; }

void Warp::resume() {
  const Group group = waiting_.front();
  waiting_.clear();
  order();
  ready(group.pc + 1, group.lanes);
}

bool Warp::is_stopped(const Group& group) const {
  const Flow flow = block.grid.program.code[group.pc].flow;
  return flow == Flow::grids || flow == Flow::cluster;
}

void Warp::go_on() {
  for (const Group& group : std::exchange(waiting_, {})) {
    if (is_stopped(group)) {
      ready(group.pc, group.lanes);
    } else {
      waiting_.push_back(group);
    }
  }
}

void Warp::stuck() {
  for (const Group& group : waiting_) {
    const Instruction& in = block.grid.program.code[group.pc];
    const bool barrier = in.flow == Flow::barrier;
    report(
        barrier ? Fault::divergent_barrier : Fault::lanes, in, static_cast<unsigned>(std::countr_zero(group.lanes)),
        "lanes " + hexadecimal(group.lanes) + " wait for others of the live ones, " + hexadecimal(live_) + ", which never come");
  }
  throw Stopped();
}

void Warp::ready(std::uint32_t pc, std::uint32_t lanes) {
  if (lanes == 0) return;
  const auto same = std::find_if(ready_.begin(), ready_.end(), [&](const Group& group) { return group.pc == pc; });
  if (same != ready_.end()) {
    same->lanes |= lanes;
  } else {
    ready_.push_back({pc, lanes});
  }
}

Warp::Group Warp::take_ready() {
  const auto first = std::min_element(ready_.begin(), ready_.end(), [](const Group& a, const Group& b) { return a.pc < b.pc; });
  const Group group = *first;
  ready_.erase(first);
  return group;
}

std::uint32_t Warp::next_ready() const {
  std::uint32_t pc = 0xFFFF'FFFF;
  for (const Group& group : ready_) pc = std::min(pc, group.pc);
  return pc;
}

std::uint32_t Warp::take_waiting(std::uint32_t pc) {
  const auto same = std::find_if(waiting_.begin(), waiting_.end(), [&](const Group& group) { return group.pc == pc; });
  if (same == waiting_.end()) return 0;
  const std::uint32_t lanes = same->lanes;
  waiting_.erase(same);
  return lanes;
}

/// Executes instructions until the lanes diverge, wait, end, or reach other lanes.
void Warp::go_on(Group group) {
  const std::vector<Instruction>& code = block.grid.program.code;
  const std::uint32_t limit = next_ready();
  for (;; ++group.pc) {
    if (group.pc >= limit || group.lanes == 0) return ready(group.pc, group.lanes);
    const Instruction& in = code[group.pc];
    if (block.grid.instructions++ >= block.grid.how.instructions) {
      block.grid.report(Fault::no_end, in, "more instructions than the launch may execute");
      throw Stopped();
    }
    std::uint32_t active = group.lanes;
    if (in.guarded) {
      check_read(in, in.guard, group.lanes);
      active &= in.negated ? ~predicate(in.guard) : predicate(in.guard);
      if (active == 0) continue;
    }
    const std::uint32_t others = group.lanes & ~active;
    switch (in.flow) {
      case Flow::plain:
        execute(in, active);
        break;
      case Flow::branch:
        if (others == 0) {
          group.pc = in.targets[0] - 1;
          break;
        }
        [[fallthrough]];
      case Flow::table:
        jump(in, active);
        return ready(group.pc + 1, others);
      case Flow::grids:
        waited_ |= active;
        if (!block.grid.stops) break;
        waiting_.push_back({group.pc, active | take_waiting(group.pc)});
        group.lanes = others;
        break;
      case Flow::cluster: {
        const std::uint32_t stay = active & ~pass_cluster(in, active);
        if (stay != 0) waiting_.push_back({group.pc, stay | take_waiting(group.pc)});
        group.lanes &= ~stay;
        break;
      }
      case Flow::end:
        check_waited(in, active, "ends");
        live_ &= ~active;
        group.lanes = others;
        break;
      case Flow::barrier:
        waiting_.push_back({group.pc, active | take_waiting(group.pc)});
        group.lanes = others;
        break;
      case Flow::meeting:
        group.lanes = others | meet(in, group.pc, active);
        break;
    }
  }
}

void Warp::check_waited(const Instruction& in, std::uint32_t lanes, const char* does) const {
  const std::uint32_t missing = block.grid.overlaps ? lanes & ~waited_ : 0;
  if (missing == 0) return;
  report(Fault::early, in, static_cast<unsigned>(std::countr_zero(missing)),
         std::string(does) + " before it has waited for the grids before this one");
}

void Warp::jump(const Instruction& in, std::uint32_t lanes) {
  if (in.flow == Flow::branch) return ready(in.targets[0], lanes);
  check_read(in, in.from[0], lanes);
  each_lane(lanes, [&](unsigned lane) {
    const std::uint64_t which = bits(in.from[0], lane);
    if (which >= in.targets.size()) {
      report(Fault::bounds, in, lane, "branch number " + std::to_string(which) + " of " + std::to_string(in.targets.size()));
      throw Stopped();
    }
    ready(in.targets[which], 1U << lane);
  });
}

std::uint32_t Warp::meet(const Instruction& in, std::uint32_t pc, std::uint32_t lanes) {
  std::uint32_t here = lanes | take_waiting(pc);
  std::uint32_t done = 0;
  std::uint32_t left = 0;
  const Slot& mask = in.from[in.from.size() - 1];
  check_read(in, mask, lanes);
  while (here != 0) {
    const auto first = static_cast<unsigned>(std::countr_zero(here));
    auto members = static_cast<std::uint32_t>(bits(mask, first));
    if ((members >> first & 1U) == 0) {
      report(Fault::lanes, in, first, "the mask " + hexadecimal(members) + " does not name this lane");
      members |= 1U << first;
    }
    const std::uint32_t wanted = members & live_;
    bool complete = (wanted & ~here) == 0;
    each_lane(wanted & here,
              [&](unsigned lane) { complete = complete && (lane == first || bits(mask, lane) == bits(mask, first)); });
    if (complete) {
      execute(in, wanted);
      done |= wanted;
      here &= ~wanted;
    } else {
      left |= 1U << first;
      here &= ~(1U << first);
    }
  }
  if (left != 0) waiting_.push_back({pc, left});
  return done;
}

void Warp::report_undefined(const Instruction& in, std::uint32_t lanes) const {
  report(Fault::undefined_register, in, static_cast<unsigned>(std::countr_zero(lanes)), "reads a register that nobody wrote");
}

void Warp::execute(const Instruction& in, std::uint32_t lanes) {
  for (const Slot& slot : in.from) check_read(in, slot, lanes);
  if (in.address.base.width != 0) check_read(in, in.address.base, lanes);
  if (in.source.base.width != 0) check_read(in, in.source.base, lanes);
  in.run(*this, in, lanes);
  for (const Slot& slot : in.to) written_[slot.index] |= lanes;
}

std::uint64_t Warp::bits(const Slot& slot, unsigned lane) const {
  std::uint64_t value = 0;
  const unsigned char* const at = registers_.data() + slot.offset;
  if (slot.width == 0) {
    std::uint32_t mask = 0;
    std::memcpy(&mask, at, sizeof(mask));
    return mask >> lane & 1U;
  }
  std::memcpy(&value, at + lane * slot.width, slot.width);
  return value;
}

void Warp::set_bits(const Slot& slot, unsigned lane, std::uint64_t bits) {
  std::memcpy(registers_.data() + slot.offset + lane * slot.width, &bits, slot.width);
}

Warp::Bits Warp::bits(const Slot& slot) {
  Bits all;
  const auto widen = [&](auto* from) {
    for (unsigned lane = 0; lane < kLanes; ++lane) all[lane] = from[lane];
  };
  if (slot.width == 2) {
    widen(lanes<std::uint16_t>(slot));
  } else if (slot.width == 4) {
    widen(lanes<std::uint32_t>(slot));
  } else {
    widen(lanes<std::uint64_t>(slot));
  }
  return all;
}

void Warp::set_bits(const Slot& slot, std::uint32_t lanes, const Bits& bits) {
  const auto narrow = [&](auto* to) {
    each_lane(lanes, [&](unsigned lane) { to[lane] = static_cast<std::remove_reference_t<decltype(*to)>>(bits[lane]); });
  };
  if (slot.width == 2) {
    narrow(this->lanes<std::uint16_t>(slot));
  } else if (slot.width == 4) {
    narrow(this->lanes<std::uint32_t>(slot));
  } else {
    narrow(this->lanes<std::uint64_t>(slot));
  }
}

std::string Warp::thread(unsigned lane) const {
  const auto& at = block.index;
  return "block (" + std::to_string(at[0]) + ", " + std::to_string(at[1]) + ", " + std::to_string(at[2]) + "), thread " +
         std::to_string(index_ * kLanes + lane);
}

void Warp::report(Fault fault, const Instruction& at, unsigned lane, const std::string& what) const {
  block.grid.report(fault, at, thread(lane) + ": " + what);
}

}  // namespace ptx
