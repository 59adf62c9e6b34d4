// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <lamella/export.hpp>

namespace lamella::core {

/// Instruction sets that the CPU device's own loops are compiled for, each with all that the ones before it have.
enum class Isa { generic, avx2, avx512 };

/// The best one of this machine.
[[nodiscard]] LAMELLA_API Isa machine_isa() noexcept;
/// The one in use: the best of this machine that LAMELLA_MAX_CPU_ISA (generic, avx2 or avx512) allows; read once. Throws
/// ArgumentError (value) for any other word.
[[nodiscard]] LAMELLA_API Isa best_isa();
/// The word of LAMELLA_MAX_CPU_ISA.
[[nodiscard]] LAMELLA_API std::string_view to_string(Isa isa) noexcept;

}  // namespace lamella::core
