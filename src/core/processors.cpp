// SPDX-License-Identifier: Apache-2.0
#include "core/processors.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.hpp"

namespace lamella::core {
namespace {

constexpr int kMostProcessors = 16'384;

int affinity() {
  std::vector<cpu_set_t> mask(kMostProcessors / CPU_SETSIZE);
  const std::size_t bytes = mask.size() * sizeof(cpu_set_t);
  if (::sched_getaffinity(0, bytes, mask.data()) != 0) return static_cast<int>(std::thread::hardware_concurrency());
  return CPU_COUNT_S(bytes, mask.data());
}

/// The numbers at the beginning of a file, -1 for "max"; empty if it cannot be read.
std::vector<double> numbers_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<double> numbers;
  for (std::string word; numbers.size() < 2 && file >> word;) {
    std::istringstream text(word);
    double number = -1;
    if (word != "max" && !(text >> number)) break;
    numbers.push_back(number);
  }
  return numbers;
}

/// Quota divided by period of one group; nothing if it has none.
std::optional<double> quota_at(const std::string& folder, bool v2) {
  std::vector<double> numbers = numbers_of(folder + (v2 ? "/cpu.max" : "/cpu.cfs_quota_us"));
  if (!v2) {
    const std::vector<double> period = numbers_of(folder + "/cpu.cfs_period_us");
    numbers.insert(numbers.end(), period.begin(), period.end());
  }
  if (numbers.size() != 2 || numbers[0] <= 0 || numbers[1] <= 0) return std::nullopt;
  return numbers[0] / numbers[1];
}

bool has_word(std::string_view list, std::string_view word) {
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (list.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

/// The memory limit of one group in bytes; nothing if it has none.
std::optional<double> memory_at(const std::string& folder, bool v2) {
  constexpr double kNone = 0x1p60;  // version 1 has a number near 2^63 for no limit
  const std::vector<double> numbers = numbers_of(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  if (numbers.empty() || numbers[0] <= 0 || numbers[0] >= kNone) return std::nullopt;
  return numbers[0];
}

/// The least limit of the groups that have this controller, and of their parents; 0 if there is none.
double least_of_groups(const std::string& groups, const std::string& root, const std::string& controller,
                       std::optional<double> (*limit_at)(const std::string& folder, bool v2)) {
  double least = 0;
  std::ifstream file(groups);
  for (std::string line; std::getline(file, line);) {  // "4:cpu,cpuacct:/a/b" or, of version 2, "0::/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && !has_word(controllers, controller)) continue;
    const std::string mounted = v2 ? root : root + "/" + controller;
    // What a group uses also counts against its parents' limits. A container may see its own group as the root.
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      while (path.ends_with('/')) path.pop_back();
      if (const auto limit = limit_at(mounted + path, v2)) least = least == 0 ? *limit : std::min(least, *limit);
      if (path.find('/') == std::string::npos) break;
    }
  }
  return least;
}

/// What the system reports of the first processor: fields and values in printable characters.
std::vector<std::pair<std::string, std::string>> first_processor() {
  std::vector<std::pair<std::string, std::string>> fields;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string_view all(line);
    fields.emplace_back(all.substr(0, all.find_last_not_of("\t ", colon - 1) + 1), escaped(all.substr(colon + 2)));
  }
  return fields;
}

}  // namespace

int quota_of_groups(const std::string& groups, const std::string& root) {
  return static_cast<int>(std::ceil(std::min<double>(least_of_groups(groups, root, "cpu", quota_at), kMostProcessors)));
}

std::int64_t memory_of_groups(const std::string& groups, const std::string& root) {
  return static_cast<std::int64_t>(least_of_groups(groups, root, "memory", memory_at));
}

int usable_processors() {
  const int allowed = std::max(affinity(), 1);
  const int quota = quota_of_groups("/proc/self/cgroup", "/sys/fs/cgroup");
  return quota == 0 ? allowed : std::min(allowed, quota);
}

std::string processor_name() {
  for (auto& [field, value] : first_processor()) {
    if (field == "model name") return std::move(value);
  }
  return "processor";
}

std::string processor_model() {
  constexpr std::array kFields{"cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU revision"};
  std::string text;
  for (const auto& [field, value] : first_processor()) {
    if (std::find(kFields.begin(), kFields.end(), field) != kFields.end())
      text += core::format("{}{} {}", text.empty() ? "" : ", ", field, value);
  }
  return text;
}

}  // namespace lamella::core
