// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "tests/ptx/lanewise.hpp"

/// setp, in all its forms, and selp.
namespace ptx {
namespace {

template <typename T>
bool unordered(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::isnan(a) || std::isnan(b);
  } else {
    return false;
  }
}

enum class Relation { eq, ne, lt, le, gt, ge, num, nan };

/// kUnordered: true where one is NaN
template <Relation kRelation, bool kUnordered>
struct Compare {
  template <typename T>
  static bool of(T a, T b) {
    if (unordered(a, b)) return kUnordered;
    switch (kRelation) {
      case Relation::eq:
        return a == b;
      case Relation::ne:
        return a != b;
      case Relation::lt:
        return a < b;
      case Relation::le:
        return a <= b;
      case Relation::gt:
        return a > b;
      case Relation::ge:
        return a >= b;
      case Relation::num:
        return true;
      case Relation::nan:
        return false;
    }
    return false;
  }
};

struct And {
  static bool of(bool a, bool b) { return a && b; }
};
struct Or {
  static bool of(bool a, bool b) { return a || b; }
};
struct Xor {
  static bool of(bool a, bool b) { return a != b; }
};

/// The comparison, and a predicate to combine it with.
template <typename C, typename Combine>
struct Combined {
  template <typename T>
  static bool of(T a, T b, bool c) {
    return Combine::of(C::of(a, b), c);
  }
};

template <typename C, typename T>
void compare(Table& table, const std::string& name, const std::string& type) {
  table["setp." + name + type] = lanewise<C, bool(T, T)>();
  table["setp." + name + ".and" + type] = lanewise<Combined<C, And>, bool(T, T, bool)>();
  table["setp." + name + ".or" + type] = lanewise<Combined<C, Or>, bool(T, T, bool)>();
  table["setp." + name + ".xor" + type] = lanewise<Combined<C, Xor>, bool(T, T, bool)>();
}

template <Relation kRelation, typename... T>
void ordered(Table& table, const std::string& name) {
  (compare<Compare<kRelation, false>, T>(table, name, type_name<T>()), ...);
}
template <Relation kRelation>
void floating(Table& table, const std::string& name) {
  compare<Compare<kRelation, true>, f32>(table, name, ".f32");
  compare<Compare<kRelation, true>, f64>(table, name, ".f64");
}
template <Relation kRelation>
void integers_and_floats(Table& table, const std::string& name) {
  ordered<kRelation, s16, u16, s32, u32, s64, u64, f32, f64>(table, name);
  floating<kRelation>(table, name + "u");
}
template <Relation kRelation>
void bits(Table& table, const std::string& name) {
  compare<Compare<kRelation, false>, u16>(table, name, ".b16");
  compare<Compare<kRelation, false>, u32>(table, name, ".b32");
  compare<Compare<kRelation, false>, u64>(table, name, ".b64");
}

struct Select {
  template <typename T>
  static T of(T a, T b, bool first) {
    return first ? a : b;
  }
};

template <typename T>
void select(Table& table, std::initializer_list<const char*> types) {
  for (const char* type : types) table[std::string("selp.") + type] = lanewise<Select, T(T, T, bool)>();
}

}  // namespace

void compare_forms(Table& table) {
  integers_and_floats<Relation::eq>(table, "eq");
  integers_and_floats<Relation::ne>(table, "ne");
  integers_and_floats<Relation::lt>(table, "lt");
  integers_and_floats<Relation::le>(table, "le");
  integers_and_floats<Relation::gt>(table, "gt");
  integers_and_floats<Relation::ge>(table, "ge");
  ordered<Relation::num, f32, f64>(table, "num");
  floating<Relation::nan>(table, "nan");
  ordered<Relation::lt, u32, u64, u16>(table, "lo");
  ordered<Relation::le, u32, u64, u16>(table, "ls");
  ordered<Relation::gt, u32, u64, u16>(table, "hi");
  ordered<Relation::ge, u32, u64, u16>(table, "hs");
  bits<Relation::eq>(table, "eq");
  bits<Relation::ne>(table, "ne");
  select<u16>(table, {"b16", "u16", "s16", "f16", "bf16"});
  select<u32>(table, {"b32", "u32", "s32", "f32"});
  select<u64>(table, {"b64", "u64", "s64", "f64"});
}

}  // namespace ptx
