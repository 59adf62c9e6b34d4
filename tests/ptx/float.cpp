// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/float_numbers.hpp"
#include "tests/ptx/lanewise.hpp"

/// Floating arithmetic, rounded to nearest even.
namespace ptx {
namespace {

struct Add {
  template <typename T>
  static T of(T a, T b) {
    return canonical(a + b);
  }
};
struct Sub {
  template <typename T>
  static T of(T a, T b) {
    return canonical(a - b);
  }
};
struct Mul {
  template <typename T>
  static T of(T a, T b) {
    return canonical(a * b);
  }
};
struct Fma {
  template <typename T>
  static T of(T a, T b, T c) {
    return canonical(std::fma(a, b, c));
  }
};
struct FmaSaturated {
  template <typename T>
  static T of(T a, T b, T c) {
    return saturate(std::fma(a, b, c));
  }
};
struct Div {
  template <typename T>
  static T of(T a, T b) {
    return canonical(a / b);
  }
};
struct Reciprocal {
  template <typename T>
  static T of(T a) {
    return canonical(T{1} / a);
  }
};
struct Root {
  template <typename T>
  static T of(T a) {
    return canonical(std::sqrt(a));
  }
};
/// The operand that is a number, if only one is; -0 is less than 0.
struct Min {
  template <typename T>
  static T of(T a, T b) {
    if (std::isnan(a) || std::isnan(b)) return canonical(std::isnan(a) ? b : a);
    if (a == b) return std::signbit(a) ? a : b;
    return a < b ? a : b;
  }
};
struct Max {
  template <typename T>
  static T of(T a, T b) {
    if (std::isnan(a) || std::isnan(b)) return canonical(std::isnan(a) ? b : a);
    if (a == b) return std::signbit(a) ? b : a;
    return a > b ? a : b;
  }
};
struct MinNaN {
  template <typename T>
  static T of(T a, T b) {
    return std::isnan(a) || std::isnan(b) ? canonical(a + b) : Min::of(a, b);
  }
};
struct MaxNaN {
  template <typename T>
  static T of(T a, T b) {
    return std::isnan(a) || std::isnan(b) ? canonical(a + b) : Max::of(a, b);
  }
};
/// PTX leaves both undefined for NaN; hardware changes the sign bit.
struct Neg {
  template <typename T>
  static T of(T a) {
    return -a;
  }
};
struct Abs {
  template <typename T>
  static T of(T a) {
    return std::fabs(a);
  }
};
struct CopySign {
  template <typename T>
  static T of(T sign, T magnitude) {
    return std::copysign(magnitude, sign);
  }
};
struct IsFinite {
  template <typename T>
  static bool of(T a) {
    return std::isfinite(a);
  }
};
struct IsInfinite {
  template <typename T>
  static bool of(T a) {
    return std::isinf(a);
  }
};
struct IsNaN {
  template <typename T>
  static bool of(T a) {
    return std::isnan(a);
  }
};

template <typename Op>
void test(Table& table, const std::string& stem) {
  table[stem + ".f32"] = lanewise<Op, bool(f32)>();
  table[stem + ".f64"] = lanewise<Op, bool(f64)>();
}

}  // namespace

void float_forms(Table& table) {
  for (const char* rounding : {"", ".rn"}) {
    binary<Add, f32, f64>(table, std::string("add") + rounding);
    binary<Sub, f32, f64>(table, std::string("sub") + rounding);
    binary<Mul, f32, f64>(table, std::string("mul") + rounding);
  }
  ternary<Fma, f32, f64>(table, "fma.rn");
  ternary<Fma, f32, f64>(table, "mad.rn");
  ternary<FmaSaturated, f32>(table, "fma.rn.sat");
  binary<Div, f32, f64>(table, "div.rn");
  unary<Reciprocal, f32, f64>(table, "rcp.rn");
  unary<Root, f32, f64>(table, "sqrt.rn");
  binary<Min, f32, f64>(table, "min");
  binary<Max, f32, f64>(table, "max");
  binary<MinNaN, f32>(table, "min.NaN");
  binary<MaxNaN, f32>(table, "max.NaN");
  unary<Neg, f32, f64>(table, "neg");
  unary<Abs, f32, f64>(table, "abs");
  binary<CopySign, f32, f64>(table, "copysign");
  test<IsFinite>(table, "testp.finite");
  test<IsInfinite>(table, "testp.infinite");
  test<IsNaN>(table, "testp.notanumber");
}

}  // namespace ptx
