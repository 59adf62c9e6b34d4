// SPDX-License-Identifier: Apache-2.0
#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <ostream>

#include "tests/ptx/warp.hpp"

namespace ptx {

std::string_view name(Fault fault) {
  switch (fault) {
    case Fault::bounds:
      return "out of bounds";
    case Fault::alignment:
      return "misaligned";
    case Fault::read_only:
      return "written, but may only be read";
    case Fault::undefined_register:
      return "undefined register";
    case Fault::undefined_memory:
      return "undefined memory";
    case Fault::divergent_barrier:
      return "divergent barrier";
    case Fault::race:
      return "race";
    case Fault::in_flight:
      return "asynchronous copy";
    case Fault::trap:
      return "trap";
    case Fault::lanes:
      return "lanes of a warp";
    case Fault::cluster:
      return "cluster";
    case Fault::early:
      return "too early";
    case Fault::no_end:
      return "no end";
  }
  return "?";
}

std::string readable(const std::string& kernel) {
  int status = 0;
  char* const demangled = abi::__cxa_demangle(kernel.c_str(), nullptr, nullptr, &status);
  if (demangled == nullptr) return kernel;
  std::string name = demangled;
  std::free(demangled);
  for (const std::string_view of : {"lamella::", "kernels::", "(anonymous namespace)::", "void "}) {
    for (std::size_t at = name.find(of); at != std::string::npos; at = name.find(of)) name.erase(at, of.size());
  }
  return name.substr(0, name.find('('));
}

std::ostream& operator<<(std::ostream& out, const Finding& finding) {
  return out << name(finding.fault) << ", " << finding.times << " times, in " << readable(finding.kernel) << ", line "
             << finding.line << ": " << finding.instruction << "\n  " << finding.what;
}

void Grid::report(Fault fault, const Instruction& at, const std::string& what) {
  for (Finding& finding : findings) {
    if (finding.fault != fault || finding.line != at.line) continue;
    ++finding.times;
    return;
  }
  findings.push_back({fault, program.name, at.line, std::string(at.text), what});
}

void BlockUses::end_block() {
  for (const std::size_t line : touched_) {
    Line& of = lines_[line];
    of = {0, 0, of.read_before | of.read, of.written_before | of.written};
  }
}

void BlockUses::end_launch() {
  for (const std::size_t line : touched_) lines_[line] = {};
  touched_.clear();
}

void MemoryMap::add(const void* begin, std::size_t bytes, std::string name, Access access, Contents contents) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  Range range{.begin = address, .bytes = bytes, .name = std::move(name), .access = access};
  if (contents == Contents::undefined) range.written.assign((address + bytes) / 64 - address / 64 + 1, 0);
  ranges_[address] = std::move(range);
}

void MemoryMap::remove(const void* begin) { ranges_.erase(reinterpret_cast<std::uintptr_t>(begin)); }

void MemoryMap::written(const void* begin, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  Range* const range = before(address);
  if (range == nullptr || range->written.empty() || !range->holds(address, bytes)) return;
  if (address == range->begin && bytes == range->bytes) return range->written.clear();
  std::size_t at = 0;
  for (; at < bytes && (address + at) % 64 != 0; ++at) range->write(address + at, 1);
  for (; at + 64 <= bytes; at += 64) range->write(address + at, 64);
  for (; at < bytes; ++at) range->write(address + at, 1);
}

std::vector<MemoryMap::Used> MemoryMap::take_used() {
  std::vector<Used> used;
  for (auto& [begin, range] : ranges_) {
    if (range.was_read || range.was_written) used.push_back({reinterpret_cast<const void*>(begin), range.was_written});
    range.was_read = range.was_written = false;
  }
  return used;
}

MemoryMap::Range* MemoryMap::before(std::uintptr_t address) {
  const auto after = ranges_.upper_bound(address);
  return after == ranges_.begin() ? nullptr : &std::prev(after)->second;
}

/// A grid on its way: its blocks run one after another.
class Execution {
 public:
  Execution(const Module& module, std::string_view kernel, const Launch& how_in, MemoryMap& memory)
      : how_(how_in), grid_{module.program(kernel), how_, memory, {}} {
    const Program& program = grid_.program;
    const std::uint64_t threads = std::uint64_t{how_.block[0]} * how_.block[1] * how_.block[2];
    if (threads == 0 || threads > program.most_threads)
      throw std::invalid_argument("a launch with a number of threads that the kernel does not take");
    if (how_.parameters.size() != program.parameter_bytes)
      throw std::invalid_argument("a launch with " + std::to_string(how_.parameters.size()) + " bytes of parameters, of " +
                                  std::to_string(program.parameter_bytes));
    blocks_ = std::uint64_t{how_.grid[0]} * how_.grid[1] * how_.grid[2];
    grid_.ranges.assign(program.code.size(), nullptr);
    grid_.has_blocks = blocks_ > how_.cluster;  // those of a cluster count as one
    if (how_.cluster == 0 || how_.grid[0] % how_.cluster != 0)
      throw std::invalid_argument("a launch whose blocks are no whole clusters");
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  /// Runs at most `most` blocks up to where they wait for other grids.
  void begin(std::uint64_t most) {
    if (how_.cluster > 1) throw std::invalid_argument("a launch of clusters that overlaps others");
    grid_.overlaps = grid_.stops = true;
    run([&] {
      for (; next_ < std::min(blocks_, most); ++next_) run_to_stop(early_.emplace_back(grid_), next_);
    });
    grid_.stops = false;
    std::fill(grid_.ranges.begin(), grid_.ranges.end(), nullptr);  // allocations may come and go until the rest runs
  }
  [[nodiscard]] bool lets_next_begin() const {
    return next_ == blocks_ &&
           std::all_of(early_.begin(), early_.end(), [](const Block& block) { return block.lets_next_begin; });
  }
  std::vector<Finding> finish() {
    if (!stopped_) {
      run([&] {
        for (Block& block : early_) {
          block.go_on();
          block.run();
          end_block();
        }
        if (grid_.program.has_clusters) return run_clusters();
        Block block(grid_);
        for (; next_ < blocks_; ++next_) run_to_stop(block, next_);
      });
    }
    return std::move(grid_.findings);
  }

 private:
  template <typename F>
  void run(const F& blocks) {
    try {
      blocks();
    } catch (const Stopped&) {
      stopped_ = true;
    }
    for (MemoryMap::Range* range : grid_.used) range->uses.end_launch();
    grid_.used.clear();
  }
  void start(Block& block, std::uint64_t number) const {
    const auto [x, y, z] = how_.grid;
    block.start(
        {static_cast<unsigned>(number % x), static_cast<unsigned>(number / x % y), static_cast<unsigned>(number / x / y)});
  }
  void run_to_stop(Block& block, std::uint64_t number) {
    start(block, number);
    block.run();
    end_block();
  }
  void run_clusters() {
    std::deque<Block> cluster;
    for (unsigned rank = 0; rank < how_.cluster; ++rank) cluster.emplace_back(grid_).cluster = &cluster;
    for (; next_ < blocks_; next_ += how_.cluster) {
      std::uint32_t epoch = 0;  // the blocks' epochs are compared
      for (const Block& block : cluster) epoch = std::max(epoch, block.epoch);
      for (unsigned rank = 0; rank < how_.cluster; ++rank) {
        cluster[rank].epoch = epoch;
        start(cluster[rank], next_ + rank);
      }
      run_cluster(cluster);
      end_block();
    }
  }
  void run_cluster(std::deque<Block>& cluster) {
    for (std::uint64_t before = 1, now = 0; now != before;) {
      before = now;
      now = 1;
      bool all_ended = true;
      for (Block& block : cluster) {
        block.go_on();
        all_ended = block.run() && all_ended;
      }
      if (all_ended) return;
      for (const Block& block : cluster) now += block.progress();
    }
    for (const Block& block : cluster) {
      const Instruction* const at = block.stopped_at();
      if (at != nullptr) grid_.report(Fault::cluster, *at, "a barrier of the cluster to which not all threads come");
    }
    throw Stopped();
  }
  void end_block() {
    for (MemoryMap::Range* range : grid_.used) range->uses.end_block();
  }

  Launch how_;
  Grid grid_;
  std::uint64_t blocks_ = 0;
  std::uint64_t next_ = 0;  ///< the first that has not begun
  std::deque<Block> early_;
  bool stopped_ = false;
};

EarlyGrid::EarlyGrid(const Module& module, std::string_view kernel, const Launch& how, MemoryMap& memory)
    : execution_(std::make_unique<Execution>(module, kernel, how, memory)) {
  constexpr std::uint64_t kAtOnce = 8;  // a block's registers take megabytes here
  execution_->begin(kAtOnce);
}
EarlyGrid::~EarlyGrid() = default;
bool EarlyGrid::lets_next_begin() const { return execution_->lets_next_begin(); }
std::vector<Finding> EarlyGrid::finish() { return execution_->finish(); }

std::vector<Finding> launch(const Module& module, std::string_view kernel, const Launch& how, MemoryMap& memory) {
  return Execution(module, kernel, how, memory).finish();
}

}  // namespace ptx
