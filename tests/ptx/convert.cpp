// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "tests/ptx/float_numbers.hpp"
#include "tests/ptx/lanewise.hpp"

/// cvt. Registers may be wider than the types: only the low bits of a source are used, and a result is extended.
namespace ptx {
namespace {

template <typename T>
T value_of(u64 bits) {
  if constexpr (std::is_same_v<T, f32>) {
    return std::bit_cast<f32>(static_cast<u32>(bits));
  } else if constexpr (std::is_same_v<T, f64>) {
    return std::bit_cast<f64>(bits);
  } else {
    return static_cast<T>(bits);
  }
}
template <typename T>
u64 bits_of(T value) {
  if constexpr (std::is_same_v<T, f32>) {
    return std::bit_cast<u32>(value);
  } else if constexpr (std::is_same_v<T, f64>) {
    return std::bit_cast<u64>(value);
  } else {
    return static_cast<u64>(value);  // with the sign
  }
}

enum class To { nearest, zero, below, above };

template <To kTo>
f64 integral(f64 x) {
  switch (kTo) {
    case To::nearest:
      return std::nearbyint(x);
    case To::zero:
      return std::trunc(x);
    case To::below:
      return std::floor(x);
    case To::above:
      return std::ceil(x);
  }
  return x;
}

template <typename D, typename S>
u64 plain(u64 bits) {
  return bits_of(static_cast<D>(value_of<S>(bits)));
}
template <typename D, typename S>
u64 floating(u64 bits) {
  return bits_of(canonical(static_cast<D>(value_of<S>(bits))));
}
/// The nearest that there is.
template <typename D, typename S>
u64 clamped(u64 bits) {
  const auto x = static_cast<__int128>(value_of<S>(bits));
  const auto low = static_cast<__int128>(std::numeric_limits<D>::min());
  const auto high = static_cast<__int128>(std::numeric_limits<D>::max());
  return bits_of(static_cast<D>(x < low ? low : (x > high ? high : x)));
}
template <typename D, typename S, To kTo>
u64 to_integer(u64 bits) {
  const f64 x = integral<kTo>(value_of<S>(bits));
  if (std::isnan(x)) {
    const bool zero = !std::is_same_v<S, f64> && sizeof(D) < 8;
    return zero ? 0 : bits_of(static_cast<D>(u64{1} << (8 * sizeof(D) - 1)));
  }
  if (x <= static_cast<f64>(std::numeric_limits<D>::min())) return bits_of(std::numeric_limits<D>::min());
  if (x >= static_cast<f64>(std::numeric_limits<D>::max())) return bits_of(std::numeric_limits<D>::max());
  return bits_of(static_cast<D>(x));
}
template <typename T, To kTo>
u64 to_integral(u64 bits) {
  return bits_of(canonical(static_cast<T>(integral<kTo>(value_of<T>(bits)))));
}
template <typename T>
u64 saturated(u64 bits) {
  return bits_of(saturate(value_of<T>(bits)));
}

template <int kSignificand, int kExponent>
struct Of16 {
  template <typename S>
  static u64 narrowed(u64 bits) {
    return encode<kSignificand, kExponent>(value_of<S>(bits));
  }
  template <typename D>
  static u64 widened(u64 bits) {
    return bits_of(canonical(static_cast<D>(decode<kSignificand, kExponent>(static_cast<u16>(bits)))));
  }
};

/// Two numbers to the halves of a word, the first to the upper one.
template <int kSignificand, int kExponent>
struct Halves {
  static u32 of(f32 high, f32 low) {
    return u32{encode<kSignificand, kExponent>(high)} << 16 | encode<kSignificand, kExponent>(low);
  }
};

/// A lane's bits to a lane's bits.
template <u64 (*kConvert)(u64)>
void run(Warp& warp, const Instruction& in, u32 lanes) {
  std::array<u64, kLanes> values = warp.bits(in.from[0]);
  each_lane(lanes, [&](unsigned lane) { values[lane] = kConvert(values[lane]); });
  warp.set_bits(in.to[0], lanes, values);
}
template <u64 (*kConvert)(u64)>
Form conversion() {
  return {.run = &run<kConvert>, .to = {Role::any}, .from = {Role::any}};
}

template <typename D, typename S>
void from_integer(Table& table) {
  const std::string types = type_name<D>() + type_name<S>();
  if constexpr (std::is_floating_point_v<D>) {
    table["cvt.rn" + types] = conversion<&plain<D, S>>();
  } else {
    table["cvt" + types] = conversion<&plain<D, S>>();
    table["cvt.sat" + types] = conversion<&clamped<D, S>>();
  }
}
template <typename D>
void from_integers(Table& table) {
  from_integer<D, s8>(table);
  from_integer<D, u8>(table);
  from_integer<D, s16>(table);
  from_integer<D, u16>(table);
  from_integer<D, s32>(table);
  from_integer<D, u32>(table);
  from_integer<D, s64>(table);
  from_integer<D, u64>(table);
}
template <typename D, typename S>
void from_floating(Table& table) {
  const std::string types = type_name<D>() + type_name<S>();
  table["cvt.rni" + types] = conversion<&to_integer<D, S, To::nearest>>();
  table["cvt.rzi" + types] = conversion<&to_integer<D, S, To::zero>>();
  table["cvt.rmi" + types] = conversion<&to_integer<D, S, To::below>>();
  table["cvt.rpi" + types] = conversion<&to_integer<D, S, To::above>>();
}
template <typename D>
void to_integers(Table& table) {
  from_integers<D>(table);
  from_floating<D, f32>(table);
  from_floating<D, f64>(table);
}
template <typename T>
void within(Table& table) {
  const std::string types = type_name<T>() + type_name<T>();
  table["cvt.rni" + types] = conversion<&to_integral<T, To::nearest>>();
  table["cvt.rzi" + types] = conversion<&to_integral<T, To::zero>>();
  table["cvt.rmi" + types] = conversion<&to_integral<T, To::below>>();
  table["cvt.rpi" + types] = conversion<&to_integral<T, To::above>>();
  table["cvt.sat" + types] = conversion<&saturated<T>>();
}
template <typename Format>
void of_16(Table& table, const std::string& type) {
  table["cvt.rn" + type + ".f32"] = conversion<&Format::template narrowed<f32>>();
  table["cvt.rn" + type + ".f64"] = conversion<&Format::template narrowed<f64>>();
  table["cvt.f32" + type] = conversion<&Format::template widened<f32>>();
  table["cvt.f64" + type] = conversion<&Format::template widened<f64>>();
}

}  // namespace

void convert_forms(Table& table) {
  to_integers<s8>(table);
  to_integers<u8>(table);
  to_integers<s16>(table);
  to_integers<u16>(table);
  to_integers<s32>(table);
  to_integers<u32>(table);
  to_integers<s64>(table);
  to_integers<u64>(table);
  from_integers<f32>(table);
  from_integers<f64>(table);
  within<f32>(table);
  within<f64>(table);
  table["cvt.f64.f32"] = conversion<&floating<f64, f32>>();
  table["cvt.rn.f32.f64"] = conversion<&floating<f32, f64>>();
  of_16<Of16<10, 5>>(table, ".f16");
  of_16<Of16<7, 8>>(table, ".bf16");
  table["cvt.rn.f16x2.f32"] = lanewise<Halves<10, 5>, u32(f32, f32)>();
  table["cvt.rn.bf16x2.f32"] = lanewise<Halves<7, 8>, u32(f32, f32)>();
}

}  // namespace ptx
