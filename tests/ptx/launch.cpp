// SPDX-License-Identifier: Apache-2.0
#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
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

std::vector<Finding> launch(const Module& module, std::string_view kernel, const Launch& how, MemoryMap& memory) {
  const Program& program = module.program(kernel);
  const std::uint64_t threads = std::uint64_t{how.block[0]} * how.block[1] * how.block[2];
  if (threads == 0 || threads > program.most_threads)
    throw std::invalid_argument("a launch with a number of threads that the kernel does not take");
  if (how.parameters.size() != program.parameter_bytes)
    throw std::invalid_argument("a launch with " + std::to_string(how.parameters.size()) + " bytes of parameters, of " +
                                std::to_string(program.parameter_bytes));
  Grid grid{program, how, memory, std::vector<MemoryMap::Range*>(program.code.size())};
  grid.has_blocks = std::uint64_t{how.grid[0]} * how.grid[1] * how.grid[2] > 1;
  try {
    Block block(grid);
    for (unsigned z = 0; z < how.grid[2]; ++z) {
      for (unsigned y = 0; y < how.grid[1]; ++y) {
        for (unsigned x = 0; x < how.grid[0]; ++x) {
          block.run({x, y, z});
          for (MemoryMap::Range* range : grid.used) range->uses.end_block();
        }
      }
    }
  } catch (const Stopped&) {
  }
  for (MemoryMap::Range* range : grid.used) range->uses.end_launch();
  return grid.findings;
}

}  // namespace ptx
