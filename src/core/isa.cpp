// SPDX-License-Identifier: Apache-2.0
#include "core/isa.hpp"

#include <algorithm>
#include <cstdlib>

#include "core/check.hpp"

namespace lamella::core {
namespace {

Isa isa_allowed() {
  const char* const text = std::getenv("LAMELLA_MAX_CPU_ISA");
  if (text == nullptr || *text == '\0') return Isa::avx512;
  const std::string_view allowed(text);
  if (allowed == "avx512") return Isa::avx512;
  if (allowed == "avx2") return Isa::avx2;
  LAMELLA_EXPECTS(allowed == "generic", value, "LAMELLA_MAX_CPU_ISA: got '{}', allowed generic, avx2, avx512", escaped(allowed));
  return Isa::generic;
}

}  // namespace

Isa machine_isa() noexcept {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::generic;
}

Isa best_isa() {
  static const Isa isa = std::min(machine_isa(), isa_allowed());
  return isa;
}

std::string_view to_string(Isa isa) noexcept { return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "generic"; }

}  // namespace lamella::core
