// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/ptx/program.hpp"
#include "tests/ptx/shared_memory.hpp"

namespace ptx {

/// Generic addresses of shared and local memory, in ranges where no host has memory.
inline constexpr std::uint64_t kSharedWindow = 0x7100'0000'0000'0000;
inline constexpr std::uint64_t kLocalWindow = 0x7200'0000'0000'0000;
inline constexpr std::uint64_t kWindow = std::uint64_t{1} << 32;
/// In an address of a cluster's shared memory, the bits above the offset: 0 for the own block, or 1 plus the rank of another.
inline constexpr unsigned kRankShift = 24;

/// Thrown when execution cannot continue; the findings are in the Grid.
struct Stopped {};

/// The state shared by all blocks of a launch.
struct Grid {
  const Program& program;
  const Launch& how;
  MemoryMap& memory;
  std::vector<MemoryMap::Range*> ranges;     ///< by instruction, the range that it used last
  bool has_blocks = false;                   ///< more than one
  bool overlaps = false;                     ///< grids before it, as EarlyGrid says
  bool stops = false;                        ///< where it waits for them
  std::vector<MemoryMap::Range*> used = {};  ///< ranges used by several blocks
  std::uint64_t instructions = 0;
  std::vector<Finding> findings = {};

  void report(Fault fault, const Instruction& at, const std::string& what);
};

class Block;

/// 32 threads. Lanes at the same instruction execute together; of several groups the one earliest in the text executes, so that
/// it catches up with the others. Lanes wait at a shuffle, vote or barrier that needs other lanes.
class Warp {
 public:
  enum class State { at_barrier, stopped, ended };

  explicit Warp(Block& owner) : block(owner) {}
  void start(unsigned index, std::uint32_t lanes);
  /// Runs until all lanes wait at one barrier of the block or have ended, or some have stopped to wait for other grids.
  State run();
  /// Continues past the barrier.
  void resume();
  /// Tries to continue where it stopped.
  void go_on();
  /// The lanes arrive at a barrier of the cluster.
  void arrive(const Instruction& in, std::uint32_t lanes);
  /// The least that a lane that has not ended has arrived at barriers of the cluster; the least that a lane has waited there.
  [[nodiscard]] std::uint32_t least_arrived() const;
  [[nodiscard]] std::uint32_t least_waited() const { return *std::min_element(passed_.begin(), passed_.end()); }
  /// Grows whenever something happens that a barrier of the cluster may depend on.
  [[nodiscard]] std::uint64_t progress() const;
  [[nodiscard]] const Instruction& waits_at() const;

  template <typename T>
  [[nodiscard]] T* lanes(const Slot& slot) {
    return reinterpret_cast<T*>(registers_.data() + slot.offset);
  }
  [[nodiscard]] std::uint32_t& predicate(const Slot& slot) { return *lanes<std::uint32_t>(slot); }
  /// A lane's bits, whatever the register's width.
  [[nodiscard]] std::uint64_t bits(const Slot& slot, unsigned lane) const;
  void set_bits(const Slot& slot, unsigned lane, std::uint64_t bits);
  /// The same for all lanes of a register.
  using Bits = std::array<std::uint64_t, kLanes>;
  [[nodiscard]] Bits bits(const Slot& slot);
  void set_bits(const Slot& slot, std::uint32_t lanes, const Bits& bits);

  /// Finds and checks the memory of the lanes' accesses. Returns the lanes whose access is allowed, and reports the others.
  using Places = std::array<unsigned char*, kLanes>;
  std::uint32_t reach(const Instruction& in, std::uint32_t lanes, std::size_t bytes, bool write, Places& places);
  /// Asynchronous copies of a constant number of bytes; they arrive when the lane that began them waits for them.
  void begin_copies(const Instruction& in, std::uint32_t lanes);
  /// Makes a group of the copies that the lanes have begun since their last call.
  void commit_copies(std::uint32_t lanes);
  /// Lets all groups of each lane arrive except the last `pending`; with `open` also copies that are in no group yet.
  void finish_copies(std::uint32_t lanes, std::uint32_t pending, bool open);
  [[nodiscard]] std::string thread(unsigned lane) const;
  void report(Fault fault, const Instruction& at, unsigned lane, const std::string& what) const;
  /// Orders the warp's earlier accesses before its later ones.
  void order() { ++epoch_; }
  [[nodiscard]] unsigned index() const { return index_; }
  /// The lanes that have ended.
  [[nodiscard]] std::uint32_t ended() const { return started_ & ~live_; }

  Block& block;

 private:
  struct Group {
    std::uint32_t pc;
    std::uint32_t lanes;
  };
  struct Copy {
    unsigned lane;
    std::uint32_t group;  ///< number of the lane's group, from 0
    std::size_t offset;   ///< in shared memory
    std::size_t bytes;
    std::array<unsigned char, 16> data;
  };
  [[nodiscard]] Bits addresses_of(const Address& address);
  [[nodiscard]] Moment now(unsigned lane) const;
  void go_on(Group group);
  [[nodiscard]] bool is_stopped(const Group& group) const;
  void check_waited(const Instruction& in, std::uint32_t lanes, const char* does) const;
  void execute(const Instruction& in, std::uint32_t lanes);
  void check_read(const Instruction& in, const Slot& slot, std::uint32_t lanes) const {
    const std::uint32_t missing = lanes & ~written_[slot.index];
    if (missing != 0) [[unlikely]]
      report_undefined(in, missing);
  }
  void report_undefined(const Instruction& in, std::uint32_t lanes) const;
  void set_special(Special which, std::uint32_t* lanes) const;
  Group take_ready();
  [[nodiscard]] std::uint32_t next_ready() const;
  void ready(std::uint32_t pc, std::uint32_t lanes);
  /// The lanes, among these and those waiting at pc, that may continue; the others wait.
  std::uint32_t meet(const Instruction& in, std::uint32_t pc, std::uint32_t lanes);
  std::uint32_t take_waiting(std::uint32_t pc);
  [[noreturn]] void stuck();
  void jump(const Instruction& in, std::uint32_t lanes);
  bool reach_together(const Instruction& in, std::uint32_t lanes, std::size_t bytes, bool write, const Places& places) const;
  unsigned char* reach_alone(const Instruction& in, unsigned lane, std::uint64_t address, std::size_t bytes, bool write);
  unsigned char* reach_global(const Instruction& in, unsigned lane, std::uint64_t address, std::size_t bytes, bool write);
  unsigned char* reach_shared(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write,
                              Block* of = nullptr);
  unsigned char* reach_cluster(const Instruction& in, unsigned lane, std::uint32_t address, std::size_t bytes, bool write);
  std::uint32_t pass_cluster(const Instruction& in, std::uint32_t lanes);
  unsigned char* reach_local(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write);
  unsigned char* reach_parameter(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write);

  unsigned index_ = 0;
  std::uint32_t started_ = 0;
  std::uint32_t live_ = 0;
  std::uint32_t waited_ = 0;                     ///< lanes that have waited for the grids before
  std::array<std::uint32_t, kLanes> arrived_{};  ///< at barriers of the cluster
  std::array<std::uint32_t, kLanes> passed_{};   ///< having waited there; of lanes that never started, the most
  std::uint32_t epoch_ = 1;
  std::vector<unsigned char> registers_;
  std::vector<std::uint32_t> written_;
  std::vector<unsigned char> local_;
  std::vector<bool> local_written_;
  std::vector<Group> ready_;
  std::vector<Group> waiting_;
  std::vector<Copy> copies_;
  std::array<std::uint32_t, kLanes> committed_{};
};

/// Runs a block of a grid; used again for others.
class Block {
 public:
  explicit Block(Grid& of);
  void start(std::array<unsigned, 3> index);
  /// Runs until all threads have ended, or wait for those that have stopped to wait for other grids; returns whether all have
  /// ended.
  bool run();
  /// Lets the threads go on that have stopped, if they can.
  void go_on();
  [[nodiscard]] unsigned rank() const { return index[0] % grid.how.cluster; }
  [[nodiscard]] std::uint32_t least_arrived() const;
  [[nodiscard]] std::uint64_t progress() const;
  [[nodiscard]] const Instruction* stopped_at() const;

  Grid& grid;
  std::array<unsigned, 3> index{};
  SharedMemory shared;
  std::uint32_t epoch = 1;
  unsigned threads = 0;
  bool lets_next_begin = false;  ///< or has ended
  bool has_ended = false;
  std::deque<Block>* cluster = nullptr;  ///< the blocks of its cluster, by rank
  std::uint32_t remote = 0;              ///< barriers of the cluster after which no other block uses its memory

 private:
  Warp::State step();
  std::vector<Warp> warps_;
  std::vector<bool> done_;
};

/// Calls f for each lane of a mask.
template <typename F>
void each_lane(std::uint32_t lanes, const F& f) {
  for (; lanes != 0; lanes &= lanes - 1) f(static_cast<unsigned>(std::countr_zero(lanes)));
}

}  // namespace ptx
