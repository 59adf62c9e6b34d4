// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "tests/ptx/lanewise.hpp"

/// Integer arithmetic: results keep their low bits, like unsigned ones.
namespace ptx {
namespace {

/// Wide enough that no promotion to int can overflow.
template <typename T>
using Wrapping = std::conditional_t<sizeof(T) < 4, u32, std::make_unsigned_t<T>>;
template <typename T>
using Twice = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, s32, u32>,
                                 std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, s64, u64>,
                                                    std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

template <typename T>
Wrapping<T> wrap(T x) {
  return static_cast<Wrapping<T>>(x);
}

struct Add {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(wrap(a) + wrap(b));
  }
};
struct Sub {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(wrap(a) - wrap(b));
  }
};
struct MulLow {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(wrap(a) * wrap(b));
  }
};
struct MulHigh {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(Twice<T>(a) * Twice<T>(b) >> (8 * sizeof(T)));
  }
};
struct MulWide {
  template <typename T>
  static Twice<T> of(T a, T b) {
    return Twice<T>(a) * Twice<T>(b);
  }
};
struct MadLow {
  template <typename T>
  static T of(T a, T b, T c) {
    return static_cast<T>(wrap(a) * wrap(b) + wrap(c));
  }
};
struct MadWide {
  template <typename T>
  static Twice<T> of(T a, T b, Twice<T> c) {
    return Add::of(Twice<T>(a) * Twice<T>(b), c);
  }
};
/// PTX does not define division by zero; hardware gives all ones.
struct Div {
  template <typename T>
  static T of(T a, T b) {
    if (b == 0) return static_cast<T>(~T{0});
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return Sub::of(T{0}, a);
    }
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <typename T>
  static T of(T a, T b) {
    if (b == 0) return static_cast<T>(~T{0});
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
struct Min {
  template <typename T>
  static T of(T a, T b) {
    return std::min(a, b);
  }
};
struct Max {
  template <typename T>
  static T of(T a, T b) {
    return std::max(a, b);
  }
};
struct Neg {
  template <typename T>
  static T of(T a) {
    return Sub::of(T{0}, a);
  }
};
struct Abs {
  template <typename T>
  static T of(T a) {
    return a < 0 ? Neg::of(a) : a;
  }
};
/// Four products of bytes and a sum.
template <typename A, typename B>
struct Dot {
  static s32 of(u32 a, u32 b, s32 c) {
    u32 sum = wrap(c);
    for (unsigned shift = 0; shift < 32; shift += 8)
      sum += static_cast<u32>(static_cast<s32>(static_cast<A>(a >> shift)) * static_cast<s32>(static_cast<B>(b >> shift)));
    return static_cast<s32>(sum);
  }
};

template <typename... T>
void wide(Table& table) {
  ((table["mul.wide" + type_name<T>()] = lanewise<MulWide, Twice<T>(T, T)>()), ...);
  ((table["mad.wide" + type_name<T>()] = lanewise<MadWide, Twice<T>(T, T, Twice<T>)>()), ...);
}

}  // namespace

void integer_forms(Table& table) {
  binary<Add, s16, u16, s32, u32, s64, u64>(table, "add");
  binary<Sub, s16, u16, s32, u32, s64, u64>(table, "sub");
  binary<MulLow, s16, u16, s32, u32, s64, u64>(table, "mul.lo");
  binary<MulHigh, s16, u16, s32, u32, s64, u64>(table, "mul.hi");
  ternary<MadLow, s16, u16, s32, u32, s64, u64>(table, "mad.lo");
  wide<s16, u16, s32, u32>(table);
  binary<Div, s16, u16, s32, u32, s64, u64>(table, "div");
  binary<Rem, s16, u16, s32, u32, s64, u64>(table, "rem");
  binary<Min, s16, u16, s32, u32, s64, u64>(table, "min");
  binary<Max, s16, u16, s32, u32, s64, u64>(table, "max");
  unary<Neg, s16, s32, s64>(table, "neg");
  unary<Abs, s16, s32, s64>(table, "abs");
  table["dp4a.s32.s32"] = lanewise<Dot<s8, s8>, s32(u32, u32, s32)>();
  table["dp4a.u32.u32"] = lanewise<Dot<u8, u8>, s32(u32, u32, s32)>();
  table["dp4a.s32.u32"] = lanewise<Dot<s8, u8>, s32(u32, u32, s32)>();
  table["dp4a.u32.s32"] = lanewise<Dot<u8, s8>, s32(u32, u32, s32)>();
}

}  // namespace ptx
