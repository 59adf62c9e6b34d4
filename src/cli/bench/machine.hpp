// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lamella::bench {

struct Cache {
  std::string type;  ///< "Data", "Instruction" or "Unified"
  int level = 0;
  std::size_t bytes = 0;
  int sharing = 0;  ///< processors that share one
};

/// Properties of the machine that affect results. No host name, and nothing about the user.
struct Machine {
  std::string cpu;
  int processors = 1;
  double mhz = 0;
  std::vector<std::string> simd;  ///< the widest instruction sets that matter here
  std::vector<Cache> caches;
  double memory_gb = 0;
  std::string kernel;  ///< of the operating system
  std::string compiler;

  /// The size of the largest cache; 32 MiB if the system does not report it.
  [[nodiscard]] std::size_t largest_cache() const;
  /// Sixteen hexadecimal digits that differ between machines whose results are not comparable.
  [[nodiscard]] std::string fingerprint() const;
};

[[nodiscard]] Machine this_machine();
/// The share of the processors that other programs use while this object lives: a call with several threads then repeatedly waits
/// whole time slices for a busy processor, which the spread does not show.
class Neighbours {
 public:
  Neighbours();
  /// As a fraction of all processors, 0 to 1; 0 if the system does not report it, or if too little time has passed.
  [[nodiscard]] double share() const;

 private:
  double busy_;  ///< seconds of all processors
  double own_;
  double begin_;
};

/// Processes that wanted to run, averaged over the last minute.
[[nodiscard]] double machine_load();

}  // namespace lamella::bench
