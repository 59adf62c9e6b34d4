// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <lamella/export.hpp>

namespace lamella::core {

/// Processors that this process may keep busy: those of its affinity mask, and no more than its control groups' quota of time
/// pays for, rounded up. At least 1.
[[nodiscard]] LAMELLA_API int usable_processors();

/// The quota of cgroup v2's cpu.max, or v1's cpu.cfs_quota_us, of the groups that `groups`, a file like /proc/self/cgroup, names
/// below the folder `root`, and of those around them, rounded up; 0 where there is none.
[[nodiscard]] LAMELLA_API int quota_of_groups(const std::string& groups, const std::string& root);

/// What the processor calls itself, in printable characters: "AMD EPYC 9R14"; "processor" where the system does not say.
[[nodiscard]] LAMELLA_API std::string processor_name();

}  // namespace lamella::core
