// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "tests/ptx/lanewise.hpp"

/// Shifts, logic, and instructions that extract parts of words.
namespace ptx {
namespace {

struct And {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <typename T>
  static T of(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};
struct Not {
  template <typename T>
  static T of(T a) {
    if constexpr (std::is_same_v<T, bool>) {
      return !a;
    } else {
      return static_cast<T>(~a);
    }
  }
};
/// More than the width shifts everything out.
struct Left {
  template <typename T>
  static T of(T a, u32 by) {
    return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(u64{a} << by);
  }
};
struct Right {
  template <typename T>
  static T of(T a, u32 by) {
    return static_cast<T>(a >> std::min<u32>(by, 8 * sizeof(T) - 1) >> (by >= 8 * sizeof(T) ? 1 : 0));
  }
};
struct FunnelLeftWrap {
  static u32 of(u32 low, u32 high, u32 by) { return static_cast<u32>((u64{high} << 32 | low) << (by & 31) >> 32); }
};
struct FunnelRightWrap {
  static u32 of(u32 low, u32 high, u32 by) { return static_cast<u32>((u64{high} << 32 | low) >> (by & 31)); }
};
/// Each byte of the result is one of the eight of b:a, or its sign eight times.
struct Permute {
  static u32 of(u32 a, u32 b, u32 selector) {
    const u64 bytes = u64{b} << 32 | a;
    u32 result = 0;
    for (unsigned i = 0; i < 4; ++i) {
      const u32 which = selector >> (4 * i) & 15;
      u32 byte = static_cast<u32>(bytes >> (8 * (which & 7)) & 0xFF);
      if ((which & 8) != 0) byte = (byte & 0x80) != 0 ? 0xFF : 0;
      result |= byte << (8 * i);
    }
    return result;
  }
};
/// Bit i of the result is the bit of the table whose index is made of the operands' bits i, a first.
struct Logic3 {
  static u32 of(u32 a, u32 b, u32 c, u32 table) {
    u32 result = 0;
    for (u32 which = 0; which < 8; ++which) {
      if ((table >> which & 1) == 0) continue;
      result |= ((which & 4) != 0 ? a : ~a) & ((which & 2) != 0 ? b : ~b) & ((which & 1) != 0 ? c : ~c);
    }
    return result;
  }
};
struct Count {
  template <typename T>
  static u32 of(T a) {
    return static_cast<u32>(std::popcount(a));
  }
};
struct LeadingZeros {
  template <typename T>
  static u32 of(T a) {
    return static_cast<u32>(std::countl_zero(a));
  }
};
struct Reverse {
  template <typename T>
  static T of(T a) {
    T result = 0;
    for (unsigned i = 0; i < 8 * sizeof(T); ++i) result = static_cast<T>(result << 1 | (a >> i & 1));
    return result;
  }
};
/// The place of the highest bit that differs from the sign.
struct FindHighest {
  template <typename T>
  static u32 of(T a) {
    const auto bits = static_cast<std::make_unsigned_t<T>>(std::is_signed_v<T> && a < 0 ? ~a : a);
    return bits == 0 ? 0xFFFF'FFFFU : static_cast<u32>(8 * sizeof(T) - 1) - LeadingZeros::of(bits);
  }
};
struct Extract {
  template <typename T>
  static T of(T a, u32 at, u32 length) {
    constexpr u32 width = 8 * sizeof(T);
    at &= 0xFF;
    length &= 0xFF;
    const auto bits = static_cast<std::make_unsigned_t<T>>(a);
    if (length == 0) return 0;
    const u32 top = std::min(at + length - 1, width - 1);
    const bool sign = std::is_signed_v<T> && (bits >> top & 1) != 0;
    T result = 0;
    for (u32 i = 0; i < width; ++i) {
      const bool bit = i < length && at + i < width ? (bits >> (at + i) & 1) != 0 : sign;
      result = static_cast<T>(result | static_cast<T>(std::make_unsigned_t<T>{bit} << i));
    }
    return result;
  }
};
struct Insert {
  template <typename T>
  static T of(T a, T b, u32 at, u32 length) {
    at &= 0xFF;
    length &= 0xFF;
    for (u32 i = 0; i < length && at + i < 8 * sizeof(T); ++i) b = (b & ~(T{1} << (at + i))) | ((a >> i & 1) << (at + i));
    return b;
  }
};

template <typename Op>
void logic(Table& table, const std::string& name) {
  table[name + ".pred"] = lanewise<Op, bool(bool, bool)>();
  table[name + ".b16"] = lanewise<Op, u16(u16, u16)>();
  table[name + ".b32"] = lanewise<Op, u32(u32, u32)>();
  table[name + ".b64"] = lanewise<Op, u64(u64, u64)>();
}

template <typename... T>
void shifts(Table& table) {
  ((table["shr" + type_name<T>()] = lanewise<Right, T(T, u32)>()), ...);
}

}  // namespace

void bit_forms(Table& table) {
  logic<And>(table, "and");
  logic<Or>(table, "or");
  logic<Xor>(table, "xor");
  table["not.pred"] = lanewise<Not, bool(bool)>();
  table["not.b16"] = lanewise<Not, u16(u16)>();
  table["not.b32"] = lanewise<Not, u32(u32)>();
  table["not.b64"] = lanewise<Not, u64(u64)>();
  table["shl.b16"] = lanewise<Left, u16(u16, u32)>();
  table["shl.b32"] = lanewise<Left, u32(u32, u32)>();
  table["shl.b64"] = lanewise<Left, u64(u64, u32)>();
  shifts<s16, u16, s32, u32, s64, u64>(table);
  table["shr.b16"] = table["shr.u16"];
  table["shr.b32"] = table["shr.u32"];
  table["shr.b64"] = table["shr.u64"];
  table["shf.l.wrap.b32"] = lanewise<FunnelLeftWrap, u32(u32, u32, u32)>();
  table["shf.r.wrap.b32"] = lanewise<FunnelRightWrap, u32(u32, u32, u32)>();
  table["prmt.b32"] = lanewise<Permute, u32(u32, u32, u32)>();
  table["lop3.b32"] = lanewise<Logic3, u32(u32, u32, u32, u32)>();
  table["popc.b32"] = lanewise<Count, u32(u32)>();
  table["popc.b64"] = lanewise<Count, u32(u64)>();
  table["clz.b32"] = lanewise<LeadingZeros, u32(u32)>();
  table["clz.b64"] = lanewise<LeadingZeros, u32(u64)>();
  table["brev.b32"] = lanewise<Reverse, u32(u32)>();
  table["brev.b64"] = lanewise<Reverse, u64(u64)>();
  table["bfind.u32"] = lanewise<FindHighest, u32(u32)>();
  table["bfind.s32"] = lanewise<FindHighest, u32(s32)>();
  table["bfind.u64"] = lanewise<FindHighest, u32(u64)>();
  table["bfind.s64"] = lanewise<FindHighest, u32(s64)>();
  table["bfe.u32"] = lanewise<Extract, u32(u32, u32, u32)>();
  table["bfe.s32"] = lanewise<Extract, s32(s32, u32, u32)>();
  table["bfe.u64"] = lanewise<Extract, u64(u64, u32, u32)>();
  table["bfe.s64"] = lanewise<Extract, s64(s64, u32, u32)>();
  table["bfi.b32"] = lanewise<Insert, u32(u32, u32, u32, u32)>();
  table["bfi.b64"] = lanewise<Insert, u64(u64, u64, u32, u32)>();
}

}  // namespace ptx
