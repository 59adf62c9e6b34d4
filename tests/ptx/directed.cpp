// SPDX-License-Identifier: Apache-2.0
#include <cfenv>

#include "tests/ptx/float_numbers.hpp"
#include "tests/ptx/lanewise.hpp"

/// Floating arithmetic with other roundings. This file is compiled with -frounding-math.
namespace ptx {
namespace {

template <int kMode>
class Rounding {
 public:
  Rounding() : before_(std::fegetround()) { std::fesetround(kMode); }
  ~Rounding() { std::fesetround(before_); }
  Rounding(const Rounding&) = delete;
  Rounding& operator=(const Rounding&) = delete;

 private:
  int before_;
};

/// These hide operands and results from the compiler, so that it moves no arithmetic across a change of the rounding mode.
template <typename T>
T opaque(T x) {
  volatile T hidden = x;
  return hidden;
}

template <int kMode>
struct Directed {
  struct Add {
    template <typename T>
    static T of(T a, T b) {
      const Rounding<kMode> rounding;
      return canonical(opaque(opaque(a) + opaque(b)));
    }
  };
  struct Sub {
    template <typename T>
    static T of(T a, T b) {
      const Rounding<kMode> rounding;
      return canonical(opaque(opaque(a) - opaque(b)));
    }
  };
  struct Mul {
    template <typename T>
    static T of(T a, T b) {
      const Rounding<kMode> rounding;
      return canonical(opaque(opaque(a) * opaque(b)));
    }
  };
  struct Div {
    template <typename T>
    static T of(T a, T b) {
      const Rounding<kMode> rounding;
      return canonical(opaque(opaque(a) / opaque(b)));
    }
  };
  struct Fma {
    template <typename T>
    static T of(T a, T b, T c) {
      const Rounding<kMode> rounding;
      return canonical(opaque(std::fma(opaque(a), opaque(b), opaque(c))));
    }
  };

  static void forms(Table& table, const std::string& name) {
    binary<Add, f32, f64>(table, "add" + name);
    binary<Sub, f32, f64>(table, "sub" + name);
    binary<Mul, f32, f64>(table, "mul" + name);
    binary<Div, f32, f64>(table, "div" + name);
    ternary<Fma, f32, f64>(table, "fma" + name);
  }
};

}  // namespace

void directed_forms(Table& table) {
  Directed<FE_TOWARDZERO>::forms(table, ".rz");
  Directed<FE_DOWNWARD>::forms(table, ".rm");
  Directed<FE_UPWARD>::forms(table, ".rp");
}

}  // namespace ptx
