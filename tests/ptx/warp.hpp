// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/ptx/program.hpp"
#include "tests/ptx/shared_memory.hpp"

namespace ptx {

/// Generic addresses of shared and local memory, in ranges where no host has memory.
inline constexpr std::uint64_t kSharedWindow = 0x7100'0000'0000'0000;
inline constexpr std::uint64_t kLocalWindow = 0x7200'0000'0000'0000;
inline constexpr std::uint64_t kWindow = std::uint64_t{1} << 32;

/// Thrown when execution cannot continue; the findings are in the Grid.
struct Stopped {};

/// The state shared by all blocks of a launch.
struct Grid {
  const Program& program;
  const Launch& how;
  MemoryMap& memory;
  std::vector<MemoryMap::Range*> ranges;     ///< by instruction, the range that it used last
  bool has_blocks = false;                   ///< more than one
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
  enum class State { at_barrier, ended };

  explicit Warp(Block& owner) : block(owner) {}
  void start(unsigned index, std::uint32_t lanes);
  /// Runs until all lanes wait at one barrier of the block, or have ended.
  State run();
  /// Continues past the barrier.
  void resume();
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
  /// Of these lanes and those waiting at pc, the lanes that may continue; the others wait.
  std::uint32_t meet(const Instruction& in, std::uint32_t pc, std::uint32_t lanes);
  std::uint32_t take_waiting(std::uint32_t pc);
  [[noreturn]] void stuck();
  void jump(const Instruction& in, std::uint32_t lanes);
  bool reach_together(const Instruction& in, std::uint32_t lanes, std::size_t bytes, bool write, const Places& places) const;
  unsigned char* reach_alone(const Instruction& in, unsigned lane, std::uint64_t address, std::size_t bytes, bool write);
  unsigned char* reach_global(const Instruction& in, unsigned lane, std::uint64_t address, std::size_t bytes, bool write);
  unsigned char* reach_shared(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write);
  unsigned char* reach_local(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write);
  unsigned char* reach_parameter(const Instruction& in, unsigned lane, std::uint64_t offset, std::size_t bytes, bool write);

  unsigned index_ = 0;
  std::uint32_t started_ = 0;
  std::uint32_t live_ = 0;
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

/// Runs the blocks of a grid, one after another.
class Block {
 public:
  explicit Block(Grid& of);
  void run(std::array<unsigned, 3> index);

  Grid& grid;
  std::array<unsigned, 3> index{};
  SharedMemory shared;
  std::uint32_t epoch = 1;
  unsigned threads = 0;

 private:
  bool step();
  std::vector<Warp> warps_;
  std::vector<bool> done_;
};

/// Calls f for each lane of a mask.
template <typename F>
void each_lane(std::uint32_t lanes, const F& f) {
  for (; lanes != 0; lanes &= lanes - 1) f(static_cast<unsigned>(std::countr_zero(lanes)));
}

}  // namespace ptx
