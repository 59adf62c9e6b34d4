// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "tests/ptx/float_numbers.hpp"
#include "tests/ptx/lanewise.hpp"

/// Approximate instructions: the exact value rounded once or, if the launch requests it, as far from that as the bounds here
/// allow, which are those of the PTX ISA's manual, version 9.1. Bounds in ulp are relative to the rounded value.
namespace ptx {
namespace {

f64 ulp(f32 y) { return f64{std::nextafter(std::fabs(y), std::numeric_limits<f32>::infinity())} - std::fabs(f64{y}); }

/// The exact value, and the bound of the error, for an argument.
struct Power2 {
  static f64 of(f64 x) { return std::exp2(x); }
  /// CUDA's own functions rely on exact powers.
  static f64 error(f64 x, f64 y) { return x == std::floor(x) ? 0 : 2.5 * ulp(static_cast<f32>(y)); }
};
struct Logarithm2 {
  static f64 of(f64 x) { return std::log2(x); }
  static f64 error(f64 x, f64 y) { return std::ldexp(x > 0.5 && x < 2 ? 1.0 : std::fabs(y), -22); }
};
struct Reciprocal {
  static f64 of(f64 x) { return 1 / x; }
  static f64 error(f64, f64 y) { return 1.5 * ulp(static_cast<f32>(y)); }
};
struct ReciprocalRoot {
  static f64 of(f64 x) { return x == 0 ? std::copysign(HUGE_VAL, x) : 1 / std::sqrt(x); }
  static f64 error(f64, f64 y) { return std::ldexp(std::fabs(y), -22) * 0.536; }  // 2^-22.9
};
struct Root {
  static f64 of(f64 x) { return std::sqrt(x); }
  static f64 error(f64, f64 y) { return std::ldexp(std::fabs(y), -23); }
};
struct Sine {
  static f64 of(f64 x) { return std::sin(x); }
  static f64 error(f64, f64) { return 0x1.6A09E6p-21; }  // 2^-20.5
};
struct Cosine {
  static f64 of(f64 x) { return std::cos(x); }
  static f64 error(f64, f64) { return 0x1.6A09E6p-21; }
};
struct Tangent {
  static f64 of(f64 x) { return std::tanh(x); }
  static f64 error(f64, f64 y) { return std::ldexp(std::fabs(y), -11); }
};

/// Whether the error for an argument is upwards; the same in every call.
bool upwards(u32 argument, unsigned seed) {
  u64 hash = (u64{seed} << 32 | argument) + 0x9E37'79B9'7F4A'7C15U;
  hash = (hash ^ hash >> 30) * 0xBF58'476D'1CE4'E5B9U;
  hash = (hash ^ hash >> 27) * 0x94D0'49BB'1331'11EBU;
  return (hash >> 40 & 1) != 0;
}

template <typename Op>
f32 approximated(f32 x, const Launch& how) {
  const f64 exact = Op::of(x);
  const auto rounded = static_cast<f32>(exact);
  if (how.approximation_error == 0 || !std::isfinite(rounded) || rounded == 0) return rounded;
  const f64 error = std::max(
      0.0, Op::error(x, exact) * how.approximation_error - ulp(rounded) / 2);  // the part of the bound that rounding leaves
  return static_cast<f32>(upwards(std::bit_cast<u32>(x), how.seed) ? exact + error : exact - error);
}

template <typename Op, bool kFlush>
void run(Warp& warp, const Instruction& in, u32 lanes) {
  const Launch& how = warp.block.grid.how;
  const f32* const from = warp.lanes<f32>(in.from[0]);
  f32* const to = warp.lanes<f32>(in.to[0]);
  each_lane(lanes, [&](unsigned lane) {
    const f32 y = approximated<Op>(kFlush ? flush(from[lane]) : from[lane], how);
    to[lane] = canonical(kFlush ? flush(y) : y);
  });
}

template <typename Op>
void approximation(Table& table, const std::string& name) {
  table[name + ".approx.f32"] = {.run = &run<Op, false>, .to = {Role::b32}, .from = {Role::b32}};
  table[name + ".approx.ftz.f32"] = {.run = &run<Op, true>, .to = {Role::b32}, .from = {Role::b32}};
}

/// The upper half of the number; the lower half of the result is 0.
void reciprocal_64(Warp& warp, const Instruction& in, u32 lanes) {
  const Launch& how = warp.block.grid.how;
  const u64* const from = warp.lanes<u64>(in.from[0]);
  u64* const to = warp.lanes<u64>(in.to[0]);
  each_lane(lanes, [&](unsigned lane) {
    const u64 high = from[lane] >> 32 << 32;
    const f64 x = flush(std::bit_cast<f64>(high));
    const u64 bits = std::bit_cast<u64>(flush(1 / x));
    const bool special = std::isnan(x) || std::isinf(x) || x == 0;
    u64 half = u64{1} << 31;  // rounds to nearest
    if (how.approximation_error > 0) half = upwards(static_cast<u32>(high >> 32), how.seed) ? 0xFFFF'FFFFU : 0;
    to[lane] = (special ? bits : bits + half) >> 32 << 32;
  });
}

}  // namespace

void approximate_forms(Table& table) {
  approximation<Power2>(table, "ex2");
  approximation<Logarithm2>(table, "lg2");
  approximation<Reciprocal>(table, "rcp");
  approximation<ReciprocalRoot>(table, "rsqrt");
  approximation<Root>(table, "sqrt");
  approximation<Sine>(table, "sin");
  approximation<Cosine>(table, "cos");
  table["tanh.approx.f32"] = {.run = &run<Tangent, false>, .to = {Role::b32}, .from = {Role::b32}};
  table["rcp.approx.ftz.f64"] = {.run = &reciprocal_64, .to = {Role::b64}, .from = {Role::b64}};
}

}  // namespace ptx
