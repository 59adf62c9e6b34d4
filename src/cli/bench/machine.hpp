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

/// What a result depends on beyond the program. No name of the host, nothing of the user.
struct Machine {
  std::string cpu;
  int processors = 1;
  double mhz = 0;
  std::vector<std::string> simd;  ///< the widest instruction sets that matter here
  std::vector<Cache> caches;
  double memory_gb = 0;
  std::string kernel;  ///< of the operating system
  std::string compiler;

  /// Of the largest cache; 32 MiB where the system does not say.
  [[nodiscard]] std::size_t largest_cache() const;
  /// Sixteen hexadecimal digits that differ where results cannot be compared.
  [[nodiscard]] std::string fingerprint() const;
};

[[nodiscard]] Machine this_machine();
/// What other programs take of the machine's processors while this object lives: a call of several threads waits whole time
/// slices for a processor that is busy elsewhere, again and again, and no spread shows it.
class Neighbours {
 public:
  Neighbours();
  /// Of all processors, 0 to 1; 0 where the system does not say, and for times too short to tell.
  [[nodiscard]] double share() const;

 private:
  double busy_;  ///< seconds of all processors
  double own_;
  double begin_;
};

/// Processes that wanted to run, averaged over the last minute.
[[nodiscard]] double machine_load();

}  // namespace lamella::bench
