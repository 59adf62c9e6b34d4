// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <lamella/export.hpp>

namespace lamella::core {

/// The number of processors that this process may use: those of its affinity mask, but no more than the CPU quota of its control
/// groups allows, rounded up. At least 1.
[[nodiscard]] LAMELLA_API int usable_processors();

/// The quota of cgroup v2's cpu.max, or v1's cpu.cfs_quota_us, of the groups below the folder `root` that the file `groups` (like
/// /proc/self/cgroup) names, and of their parents, rounded up; 0 if there is none.
[[nodiscard]] LAMELLA_API int quota_of_groups(const std::string& groups, const std::string& root);

/// The memory limit in bytes: the same with cgroup v2's memory.max, or v1's memory.limit_in_bytes.
[[nodiscard]] LAMELLA_API std::int64_t memory_of_groups(const std::string& groups, const std::string& root);

/// The processor's name in printable characters: "AMD EPYC 9R14"; "processor" if the system does not report it.
[[nodiscard]] LAMELLA_API std::string processor_name();
/// What tells processors of one name apart: "cpu family 25, model 17, stepping 1"; empty if the system does not report it.
[[nodiscard]] std::string processor_model();

}  // namespace lamella::core
