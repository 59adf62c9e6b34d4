// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/machine.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/format.hpp"

namespace lamella::bench {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "32768K" to bytes.
std::size_t size_of_text(const std::string& text) {
  std::size_t value = std::strtoull(text.c_str(), nullptr, 10);
  if (text.ends_with('K')) value <<= 10U;
  if (text.ends_with('M')) value <<= 20U;
  return value;
}

/// "0-3,8" names five processors.
int count_of_list(const std::string& text) {
  int count = 0;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t dash = part.find('-');
    const int first = std::atoi(part.c_str());
    count += dash == std::string::npos ? 1 : std::atoi(part.c_str() + dash + 1) - first + 1;
  }
  return count;
}

std::vector<Cache> caches() {
  std::vector<Cache> result;
  for (int i = 0;; ++i) {
    const std::string folder = core::format("/sys/devices/system/cpu/cpu0/cache/index{}/", i);
    const std::string size = first_line(folder + "size");
    if (size.empty()) return result;
    result.push_back({first_line(folder + "type"), std::atoi(first_line(folder + "level").c_str()), size_of_text(size),
                      count_of_list(first_line(folder + "shared_cpu_list"))});
  }
}

void read_cpuinfo(Machine& machine) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) {
      if (line.empty()) return;  // the first processor is enough
      continue;
    }
    const std::string value = line.substr(colon + 2);
    if (line.starts_with("model name")) machine.cpu = value;
    if (line.starts_with("cpu MHz")) machine.mhz = std::atof(value.c_str());
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    for (const char* flag : {"avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve"}) {
      if ((" " + value + " ").find(" " + std::string(flag) + " ") != std::string::npos) machine.simd.emplace_back(flag);
    }
  }
}

/// Busy seconds of all processors since boot, for all programs.
double busy_seconds() {
  std::ifstream file("/proc/stat");
  std::string cpu;
  double user = 0;
  double nice = 0;
  double system = 0;
  double idle = 0;
  double waiting = 0;
  double interrupts = 0;
  double soft = 0;
  double stolen = 0;
  if (!(file >> cpu >> user >> nice >> system >> idle >> waiting >> interrupts >> soft >> stolen)) return 0;
  return (user + nice + system + interrupts + soft + stolen) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double own_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Neighbours::Neighbours() : busy_(busy_seconds()), own_(own_seconds()), begin_(now_seconds()) {}

double Neighbours::share() const {
  constexpr double kTooShort = 0.1;  // the system's clock ticks are hundredths of a second
  const double elapsed = now_seconds() - begin_;
  if (busy_ == 0 || elapsed < kTooShort) return 0;
  const double others = busy_seconds() - busy_ - (own_seconds() - own_);
  return std::clamp(others / (elapsed * std::max(1U, std::thread::hardware_concurrency())), 0.0, 1.0);
}

std::size_t Machine::largest_cache() const {
  std::size_t largest = 0;
  for (const Cache& cache : caches) largest = std::max(largest, cache.bytes);
  return largest == 0 ? std::size_t{32} << 20U : largest;
}

std::string Machine::fingerprint() const {
  std::ostringstream all;
  all << cpu << '|' << processors << '|' << compiler;
  for (const std::string& flag : simd) all << '|' << flag;
  for (const Cache& cache : caches) all << '|' << cache.type << cache.level << ' ' << cache.bytes;
  std::uint64_t hash = 0xCBF2'9CE4'8422'2325U;  // FNV-1a
  for (const char c : all.str()) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01B3U;
  char text[17];
  static_cast<void>(std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash)));
  return text;
}

Machine this_machine() {
  Machine machine;
  read_cpuinfo(machine);
  machine.processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  machine.caches = caches();
  machine.memory_gb = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) * 1e-9;
  utsname system{};
  if (uname(&system) == 0) machine.kernel = std::string(system.sysname) + " " + system.machine;
#ifdef __clang__
  machine.compiler = __VERSION__;  // contains the compiler's name
#else
  machine.compiler = "GCC " __VERSION__;
#endif
  return machine;
}

double machine_load() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : 0;
}

}  // namespace lamella::bench
