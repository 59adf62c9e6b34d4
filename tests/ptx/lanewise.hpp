// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "tests/ptx/warp.hpp"

/// Instructions that do the same in every lane: makes a Form of a function of a lane's operands.
namespace ptx {

using u8 = std::uint8_t;
using s8 = std::int8_t;
using u16 = std::uint16_t;
using s16 = std::int16_t;
using u32 = std::uint32_t;
using s32 = std::int32_t;
using u64 = std::uint64_t;
using s64 = std::int64_t;
using f32 = float;
using f64 = double;

using Table = std::unordered_map<std::string, Form>;

template <typename T>
inline constexpr Role kRole = sizeof(T) == 8 ? Role::b64 : (sizeof(T) == 4 ? Role::b32 : Role::b16);
template <>
inline constexpr Role kRole<bool> = Role::predicate;

template <typename T>
std::string type_name() {
  const std::string bits = std::to_string(8 * sizeof(T));
  return (std::is_floating_point_v<T> ? ".f" : (std::is_signed_v<T> ? ".s" : ".u")) + bits;
}

/// One lane of an operand.
template <typename T>
struct LanesOf {
  LanesOf(Warp& warp, const Slot& slot) : at(warp.lanes<T>(slot)) {}
  T operator[](unsigned lane) const { return at[lane]; }
  T* at;
};
template <>
struct LanesOf<bool> {
  LanesOf(Warp& warp, const Slot& slot) : mask(warp.predicate(slot)) {}
  bool operator[](unsigned lane) const { return (mask >> lane & 1U) != 0; }
  u32 mask;
};

template <typename Op, typename Signature>
struct Lanewise;
template <typename Op, typename R, typename... Parameters>
struct Lanewise<Op, R(Parameters...)> {
  template <std::size_t... I>
  static void all(Warp& warp, const Instruction& in, u32 lanes, std::index_sequence<I...>) {
    const std::tuple<LanesOf<Parameters>...> operands{LanesOf<Parameters>(warp, in.from[I])...};
    const auto of = [&](unsigned lane) -> R { return Op::of(std::get<I>(operands)[lane]...); };
    if constexpr (std::is_same_v<R, bool>) {
      u32 result = 0;
      for (unsigned lane = 0; lane < kLanes; ++lane) result |= u32{of(lane)} << lane;
      u32& to = warp.predicate(in.to[0]);
      to = (to & ~lanes) | (result & lanes);
    } else {
      R* const to = warp.lanes<R>(in.to[0]);
      if (std::popcount(lanes) <= kFew) return each_lane(lanes, [&](unsigned lane) { to[lane] = of(lane); });
      std::array<R, kLanes> result;  // computed for all lanes, which takes the host fewer instructions; unused lanes are not read
      for (unsigned lane = 0; lane < kLanes; ++lane) result[lane] = of(lane);
      for (unsigned lane = 0; lane < kLanes; ++lane) to[lane] = (lanes >> lane & 1U) != 0 ? result[lane] : to[lane];
    }
  }
  static constexpr int kFew = 4;
  static void run(Warp& warp, const Instruction& in, u32 lanes) {
    all(warp, in, lanes, std::index_sequence_for<Parameters...>());
  }
  static Form form() { return {.run = &run, .to = {kRole<R>}, .from = {kRole<Parameters>...}}; }
};

/// The form of Op::of as a function of that signature.
template <typename Op, typename Signature>
Form lanewise() {
  return Lanewise<Op, Signature>::form();
}

/// stem.TYPE for each of the types, with one, two or three operands of that type.
template <typename Op, typename... T>
void unary(Table& table, const std::string& stem) {
  ((table[stem + type_name<T>()] = lanewise<Op, T(T)>()), ...);
}
template <typename Op, typename... T>
void binary(Table& table, const std::string& stem) {
  ((table[stem + type_name<T>()] = lanewise<Op, T(T, T)>()), ...);
}
template <typename Op, typename... T>
void ternary(Table& table, const std::string& stem) {
  ((table[stem + type_name<T>()] = lanewise<Op, T(T, T, T)>()), ...);
}

void integer_forms(Table& table);
void bit_forms(Table& table);
void float_forms(Table& table);
void directed_forms(Table& table);  ///< with rounding other than to nearest
void approximate_forms(Table& table);
void compare_forms(Table& table);
void move_forms(Table& table);
void convert_forms(Table& table);
void memory_forms(Table& table);
void exchange_forms(Table& table);
void copy_forms(Table& table);    ///< asynchronous copies
void matrix_forms(Table& table);  ///< tensor cores
void cluster_forms(Table& table);

}  // namespace ptx
