// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <lamella/export.hpp>

namespace lamella::core {

/// Instruction sets for which the CPU device's loops are compiled, each a superset of those before it.
enum class Isa { generic, avx2, avx512 };

/// The best one that this machine supports.
[[nodiscard]] LAMELLA_API Isa machine_isa() noexcept;
/// The one in use: the best of this machine that LAMELLA_MAX_CPU_ISA (generic, avx2 or avx512) allows; read once. Throws
/// ArgumentError (value) for any other word.
[[nodiscard]] LAMELLA_API Isa best_isa();
/// The value used by LAMELLA_MAX_CPU_ISA.
[[nodiscard]] LAMELLA_API std::string_view to_string(Isa isa) noexcept;

}  // namespace lamella::core
