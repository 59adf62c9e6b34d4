// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/ptx/ptx.hpp"

/// A kernel in executable form: a list of instructions whose operands are places in a warp's registers.
namespace ptx {

inline constexpr unsigned kLanes = 32;
inline constexpr std::uint32_t kAllLanes = 0xFFFF'FFFFU;

/// A register: 32 adjacent lanes, or 32 bits for a predicate. Constants also have registers, which are never written.
struct Slot {
  std::uint32_t offset = 0;  ///< into the registers of a warp, in bytes
  std::uint32_t index = 0;   ///< of the register, to track which lanes are written
  std::uint8_t width = 0;    ///< bytes of a lane; 0: a predicate
};

class Slots {
 public:
  void push(const Slot& slot) { at_.at(count_++) = slot; }
  [[nodiscard]] std::size_t size() const { return count_; }
  const Slot& operator[](std::size_t i) const { return at_[i]; }
  [[nodiscard]] const Slot* begin() const { return at_.data(); }
  [[nodiscard]] const Slot* end() const { return at_.data() + count_; }

 private:
  std::array<Slot, 10> at_{};  // as mma has
  std::size_t count_ = 0;
};

enum class Space : std::uint8_t { generic, global, shared, cluster, local, parameter };

/// The effect of an instruction on control flow.
enum class Flow : std::uint8_t {
  plain,
  branch,   ///< to targets[0]
  table,    ///< to targets[from[0]]
  end,      ///< of the thread
  barrier,  ///< of the block
  meeting,  ///< of the lanes in a mask, the last of `from`
  grids,    ///< waits for the grids before this one
  cluster,  ///< waits for the blocks of the cluster
};

class Warp;
struct Instruction;
using Execute = void (*)(Warp&, const Instruction&, std::uint32_t lanes);

struct MemoryAccess {
  Space space = Space::generic;
  std::uint8_t bytes = 0;  ///< of an element
  std::uint8_t elements = 1;
};

/// An operand in brackets.
struct Address {
  Slot base;
  std::int64_t displacement = 0;
  Space space = Space::generic;
};

/// The kind of an operand: a predicate, or a register of a fixed or any size.
enum class Role : std::uint8_t { predicate = 0, any = 1, b16 = 2, b32 = 4, b64 = 8 };

/// An opcode with its modifiers.
struct Form {
  Execute run = nullptr;
  Flow flow = Flow::plain;
  std::vector<Role> to = {};
  std::vector<Role> from = {};
  bool optional_to = false;    ///< the last of `to` may be absent
  bool optional_from = false;  ///< the last of `from` may be absent
  int addresses = 0;           ///< operands that are addresses in brackets: at most two, the second of global memory
  MemoryAccess memory = {};
};

struct Instruction {
  Execute run = nullptr;
  Flow flow = Flow::plain;
  bool guarded = false;
  bool negated = false;
  Slot guard;
  Slots to;
  Slots from;
  Address address;
  Address source;  ///< of a copy to `address`
  MemoryAccess memory;
  std::vector<std::uint32_t> targets;
  int line = 0;
  std::string_view text;
};

/// Special registers such as %tid.x.
enum class Special : std::uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  cluster_rank,
  cluster_blocks
};

struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<unsigned char> image;    ///< registers at the start: constants have their values
  std::vector<std::uint32_t> written;  ///< by register, the lanes that are written at the start
  std::vector<std::pair<Special, Slot>> specials;
  std::size_t parameter_bytes = 0;
  std::size_t shared_bytes = 0;    ///< static ones
  std::size_t dynamic_shared = 0;  ///< where the launch's shared memory begins
  std::size_t local_bytes = 0;
  unsigned most_threads = 1024;
  bool lets_next_begin = false;                                     ///< has an instruction for it
  bool has_clusters = false;                                        ///< waits for blocks of its cluster
  std::span<const std::pair<std::uintptr_t, std::size_t>> globals;  ///< the module's own variables
};

/// The form of an opcode; null if it is unknown.
[[nodiscard]] const Form* form_of(std::string_view opcode);

}  // namespace ptx
