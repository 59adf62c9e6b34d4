// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// A test device that executes PTX, the text that nvcc emits for kernels, instruction by instruction, and checks every access.
///
/// A grid runs cluster after cluster, and a block where there are none; the blocks of a cluster run one after another from
/// barrier to barrier of the cluster, a block's warps from barrier to barrier, a warp's lanes all at once. Global memory is the
/// host's: host pointers are valid in the kernel. Nothing here is thread-safe except a parsed Module.
namespace ptx {

/// For text that is not understood; the message names the kernel, the line and the text.
struct ParseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Fault {
  bounds,              ///< an address outside all allocations, or outside shared, local or parameter memory
  alignment,           ///< an address that is not a multiple of the access size
  read_only,           ///< a store to memory that may only be read
  undefined_register,  ///< an unwritten register was read
  undefined_memory,    ///< unwritten memory was read
  divergent_barrier,   ///< threads of a block wait at different barriers, or do not arrive
  race,                ///< two threads without a barrier between them, or two blocks, used memory, and one of them wrote
  in_flight,           ///< shared memory was used while an asynchronous copy that was not waited for writes it
  lanes,               ///< the mask of a warp's shuffle, vote, barrier or product is not that of the arriving lanes
  cluster,  ///< a barrier of the cluster without its other half, or memory of a block that may not have begun, or may have ended
  early,    ///< a grid that may overlap those before it wrote global memory, or a thread of it ended, before it waited
  trap,     ///< the kernel stopped itself
  no_end,   ///< more instructions than the launch was allowed
};
[[nodiscard]] std::string_view name(Fault fault);

/// A finding at an instruction: the first of its kind there, and their number.
struct Finding {
  Fault fault = Fault::bounds;
  std::string kernel;
  int line = 0;             ///< of the module's text, from 1
  std::string instruction;  ///< its text
  std::string what;         ///< with block, thread and address
  std::uint64_t times = 1;
};
std::ostream& operator<<(std::ostream& out, const Finding& finding);
/// The name of a kernel in the source, without namespaces; unchanged if it is not a mangled C++ name.
[[nodiscard]] std::string readable(const std::string& kernel);

/// The bytes of one allocation that the blocks of a launch use. Blocks run one after another here but in any order on a GPU, so a
/// byte that one block writes must not be used by another.
class BlockUses {
 public:
  /// Marks bytes as used by the running block; false if another block of the launch wrote them or, for a write, used them. At
  /// most 64 bytes at a multiple of their number; `line` is the index of 64 bytes, of `lines`.
  [[nodiscard]] bool use(std::size_t line, std::size_t lines, std::uint64_t mask, bool write) {
    if (lines_.size() < lines) lines_.resize(lines);
    Line& of = lines_[line];
    if (of.empty()) touched_.push_back(line);
    if ((of.written_before & mask & ~of.written) != 0 || (write && ((of.written_before | of.read_before) & mask) != 0))
      return false;
    (write ? of.written : of.read) |= mask;
    return true;
  }
  void end_block();
  void end_launch();

 private:
  struct Line {
    std::uint64_t read = 0;
    std::uint64_t written = 0;
    std::uint64_t read_before = 0;
    std::uint64_t written_before = 0;
    [[nodiscard]] bool empty() const { return (read | written | read_before | written_before) == 0; }
  };
  std::vector<Line> lines_;
  std::vector<std::size_t> touched_;  ///< in this launch
};

/// The allocations that a kernel may use. They belong to the caller and must outlive the launches.
class MemoryMap {
 public:
  enum class Access { read, write };           ///< write includes read
  enum class Contents { defined, undefined };  ///< undefined: bytes may be read only after a kernel has written them
  struct Range {
    std::uintptr_t begin = 0;
    std::size_t bytes = 0;
    std::string name;
    Access access = Access::write;
    bool was_read = false;                    ///< by kernels, as was_written
    bool was_written = false;                 ///< since take_used()
    std::vector<std::uint64_t> written = {};  ///< a bit per byte, starting at a multiple of 64 bytes; empty if all are written

    [[nodiscard]] bool holds(std::uintptr_t address, std::size_t size) const {
      return address - begin < bytes && size <= bytes - (address - begin);
    }
    /// For at most 64 bytes at a multiple of their number.
    [[nodiscard]] bool is_written(std::uintptr_t address, std::size_t size) const {
      return (written[word(address)] | ~mask(address, size)) == ~std::uint64_t{0};
    }
    void write(std::uintptr_t address, std::size_t size) { written[word(address)] |= mask(address, size); }
    BlockUses uses = {};
    [[nodiscard]] bool use(std::uintptr_t address, std::size_t size, bool is_write) {
      return uses.use(word(address), word(begin + bytes) + 1, mask(address, size), is_write);
    }

   private:
    [[nodiscard]] std::size_t word(std::uintptr_t address) const { return address / 64 - begin / 64; }
    static std::uint64_t mask(std::uintptr_t address, std::size_t size) {
      return (~std::uint64_t{0} >> (64 - size)) << (address % 64);
    }
  };

  void add(const void* begin, std::size_t bytes, std::string name, Access access = Access::write,
           Contents contents = Contents::defined);
  void remove(const void* begin);
  /// Records that bytes of one allocation were written by something other than a kernel.
  void written(const void* begin, std::size_t bytes);
  struct Used {
    const void* begin;
    bool written;
  };
  /// The allocations that kernels have used since this was last called.
  [[nodiscard]] std::vector<Used> take_used();
  /// The last allocation that starts at or before an address; null if there is none.
  [[nodiscard]] Range* before(std::uintptr_t address);

 private:
  std::map<std::uintptr_t, Range> ranges_;
};

struct Launch {
  std::array<unsigned, 3> grid{1, 1, 1};
  std::array<unsigned, 3> block{1, 1, 1};
  unsigned cluster = 1;                            ///< blocks of a cluster, along x
  std::size_t shared = 0;                          ///< bytes of dynamic shared memory
  std::span<const unsigned char> parameters = {};  ///< laid out as the kernel declares them
  /// Approximate instructions (ex2.approx, rcp.approx, ...) return the exact value, rounded once, plus this share of their
  /// largest error, up or down by a hash of the argument and the seed.
  double approximation_error = 0;
  unsigned seed = 0;
  std::uint64_t instructions = std::uint64_t{1} << 34;  ///< the most warp instructions; more end the launch
};

struct Program;

/// The place of a parameter among the bytes of all parameters.
struct Parameter {
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

/// One PTX text. Kernels are parsed when they are first requested.
class Module {
 public:
  /// Reads declarations and finds the kernels. Throws ParseError.
  [[nodiscard]] static Module parse(std::string text);

  [[nodiscard]] std::vector<std::string> kernels() const;
  [[nodiscard]] std::vector<Parameter> parameters(std::string_view kernel) const;
  [[nodiscard]] std::string_view target() const;  ///< such as sm_90
  /// The parsed kernel. Throws ParseError for unknown text, std::out_of_range if there is no such kernel.
  [[nodiscard]] const Program& program(std::string_view kernel) const;

  struct Impl;

 private:
  explicit Module(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

class Execution;

/// A grid that was launched to overlap those before it on its stream. As much of it as may run at once stops where it waits for
/// them (griddepcontrol.wait); the rest begins later.
class EarlyGrid {
 public:
  /// Runs threads up to where they wait. `how.parameters` must outlive this.
  EarlyGrid(const Module& module, std::string_view kernel, const Launch& how, MemoryMap& memory);
  ~EarlyGrid();
  EarlyGrid(const EarlyGrid&) = delete;
  EarlyGrid& operator=(const EarlyGrid&) = delete;
  /// Whether a grid after it may begin now: all of its blocks have said so, or have ended.
  [[nodiscard]] bool lets_next_begin() const;
  /// Runs the rest, once the grids before have ended.
  [[nodiscard]] std::vector<Finding> finish();

 private:
  std::unique_ptr<Execution> execution_;
};

/// Runs a grid to its end and returns the findings. A store out of bounds is skipped, such a load gives 0xCC bytes; findings
/// after which execution makes no sense end the launch.
[[nodiscard]] std::vector<Finding> launch(const Module& module, std::string_view kernel, const Launch& how, MemoryMap& memory);

}  // namespace ptx
