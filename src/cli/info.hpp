// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace lamella::cli {

/// The instruction set that the CPU device's own loops use: generic, avx2 or avx512. Asks the processor and LAMELLA_MAX_CPU_ISA
/// as the library does.
[[nodiscard]] std::string used_isa();

}  // namespace lamella::cli
