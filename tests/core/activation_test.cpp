// SPDX-License-Identifier: Apache-2.0
#include <lamella/activation.hpp>

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include <lamella/dtype.hpp>
#include <lamella/error.hpp>

#include "core/activation_measure.hpp"

namespace lamella::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::string refusal(std::string_view asked) {
  try {
    static_cast<void>(activation_of(asked));
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::value);
    return error.what();
  }
  return "not refused";
}

TEST(ActivationTest, ListsTheNamesOfKeras) {
  const std::vector<std::string_view> names(activation_names().begin(), activation_names().end());
  EXPECT_THAT(names, IsSupersetOf({"celu",           "elu",          "exponential", "gelu",        "glu",
                                   "hard_shrink",    "hard_sigmoid", "hard_silu",   "hard_swish",  "hard_tanh",
                                   "leaky_relu",     "linear",       "log_sigmoid", "log_softmax", "mish",
                                   "relu",           "relu6",        "selu",        "sigmoid",     "silu",
                                   "soft_shrink",    "softmax",      "softplus",    "softsign",    "sparse_plus",
                                   "sparse_sigmoid", "sparsemax",    "squareplus",  "swish",       "tanh",
                                   "tanh_shrink",    "threshold"}));
  EXPECT_TRUE(std::ranges::is_sorted(names));
  for (const char* const other : {"gelu_tanh", "hard_sigmoid_keras2", "relu_general", "absolute", "clip", "ReLU", "softmax_v2"})
    EXPECT_THAT(names, Not(Contains(other))) << "not a name of keras.activations";
}

TEST(ActivationTest, FindsEveryNameItLists) {
  for (const std::string_view listed : activation_names()) {
    if (listed == "threshold" || listed == "swish" || listed == "hard_swish") continue;
    EXPECT_EQ(to_string(activation_of(listed).kind), listed);
  }
}

TEST(ActivationTest, TakesAliases) {
  EXPECT_EQ(activation_of("swish"), activation_of("silu"));
  EXPECT_EQ(activation_of("hard_swish"), activation_of("hard_silu"));
}

TEST(ActivationTest, TakesTheSpellingsOfOlderFiles) {
  EXPECT_EQ(activation_of("softmax_v2").kind, ActivationKind::Softmax);
  EXPECT_EQ(activation_of("log_softmax_v2").kind, ActivationKind::LogSoftmax);
  EXPECT_EQ(activation_of("ReLU").kind, ActivationKind::Relu);
  EXPECT_EQ(activation_of("ELU"), activation_of("elu"));
  EXPECT_EQ(activation_of("Softmax"), activation_of("softmax"));
}

TEST(ActivationTest, GivesALayersNameThatLayersDefault) {
  EXPECT_EQ(activation_of("LeakyReLU").parameters[0], 0.3);
  EXPECT_EQ(activation_of("leaky_relu").parameters[0], 0.2);
}

TEST(ActivationTest, FillsInTheDefaultsOfKeras) {
  EXPECT_EQ(activation_of("elu").parameters[0], 1.0);
  EXPECT_EQ(activation_of("celu").parameters[0], 1.0);
  EXPECT_EQ(activation_of("squareplus").parameters[0], 4.0);
  EXPECT_EQ(activation_of("hard_shrink").parameters[0], 0.5);
  EXPECT_EQ(activation_of("soft_shrink").parameters[0], 0.5);
  EXPECT_EQ(activation_of("softmax").axis, -1);
}

TEST(ActivationTest, SuggestsNamesForAMisspeltOne) {
  EXPECT_THAT(refusal("rleu"),
              AllOf(HasSubstr("unknown activation 'rleu'"), HasSubstr("similar: "), HasSubstr("relu"), HasSubstr("[E_VALUE]")));
  EXPECT_THAT(refusal("Tanh"), HasSubstr("similar: tanh"));
  EXPECT_THAT(refusal("soft"), AllOf(HasSubstr("softmax"), HasSubstr("softplus")));
}

TEST(ActivationTest, ListsAllNamesWhenNoneIsNear) {
  EXPECT_THAT(refusal("normalisation"), AllOf(HasSubstr("known: celu, elu"), HasSubstr("threshold")));
  EXPECT_THAT(refusal(""), HasSubstr("known: "));
}

TEST(ActivationTest, RefusesNamesThatKerasDoesNotHave) {
  for (const char* asked : {"gelu_tanh", "relu_general", "hard_sigmoid_keras2", "PReLU", "crelu", "identity", "relu ", "sqrt",
                            "absolute", "divide", "clip", "log", "power", "expm1"}) {
    EXPECT_THAT(refusal(asked), HasSubstr("unknown activation")) << asked;
  }
}

TEST(ActivationTest, EscapesAndShortensAHostileName) {
  const std::string message = refusal(std::string(100000, 'r') + "\n");
  EXPECT_LT(message.size(), 1200U);
  EXPECT_THAT(refusal("re\nlu"), testing::Not(HasSubstr("\n")));
}

TEST(ActivationTest, NamesTheParametersThatThresholdNeeds) {
  EXPECT_THAT(refusal("threshold"), AllOf(HasSubstr("'threshold' needs values for threshold, default_value")));
}

TEST(ActivationTest, KnowsTheIndexOfAParameter) {
  EXPECT_EQ(parameter_index(ActivationKind::LeakyRelu, "negative_slope"), 0);
  EXPECT_EQ(parameter_index(ActivationKind::Threshold, "default_value"), 1);
  EXPECT_EQ(parameter_index(ActivationKind::ReluGeneral, "threshold"), 2);
  EXPECT_EQ(parameter_index(ActivationKind::Relu, "alpha"), -1);
}

TEST(ActivationTest, TellsRowwiseKindsFromElementwiseOnes) {
  EXPECT_TRUE(is_rowwise(ActivationKind::Softmax));
  EXPECT_TRUE(is_rowwise(ActivationKind::LogSoftmax));
  EXPECT_TRUE(is_rowwise(ActivationKind::Sparsemax));
  EXPECT_TRUE(is_rowwise(ActivationKind::Glu));
  for (const ActivationKind kind : elementwise_kinds()) EXPECT_FALSE(is_rowwise(kind)) << to_string(kind);
}

TEST(ActivationTest, HasNoElementwiseFormulaForRows) {
  EXPECT_THROW(core::visit_elementwise(ActivationKind::Softmax, [](auto) {}), Error);
}

TEST(ActivationTest, PicksTheSimplestKindForReluWithParameters) {
  EXPECT_EQ(ActivationSpec::relu(0), ActivationSpec{.kind = ActivationKind::Relu});
  EXPECT_EQ(ActivationSpec::relu(0, 6), ActivationSpec{.kind = ActivationKind::Relu6});
  EXPECT_EQ(ActivationSpec::relu(0.1), (ActivationSpec{.kind = ActivationKind::LeakyRelu, .parameters = {0.1}}));
  EXPECT_EQ(ActivationSpec::relu(0, 5), (ActivationSpec{.kind = ActivationKind::ReluGeneral, .parameters = {0, 5, 0}}));
  EXPECT_EQ(ActivationSpec::relu(0.1, 6).kind, ActivationKind::ReluGeneral);
  EXPECT_EQ(ActivationSpec::relu(0, 6, 1).kind, ActivationKind::ReluGeneral);
  EXPECT_EQ(ActivationSpec::relu(0, {}, 1),
            (ActivationSpec{.kind = ActivationKind::ReluGeneral, .parameters = {0, static_cast<double>(kInf), 1}}));
}

TEST(ActivationTest, RefusesReluWithParametersThatKerasRefuses) {
  EXPECT_THROW(static_cast<void>(ActivationSpec::relu(-0.1)), ArgumentError);
  EXPECT_THROW(static_cast<void>(ActivationSpec::relu(0, -1)), ArgumentError);
  EXPECT_THROW(static_cast<void>(ActivationSpec::relu(0, {}, -1)), ArgumentError);
  EXPECT_THROW(static_cast<void>(ActivationSpec::relu(static_cast<double>(kNaN))), ArgumentError);
}

TEST(ActivationTest, TellsTheTwoGelusApart) {
  EXPECT_EQ(ActivationSpec::gelu(false), activation_of("gelu"));
  EXPECT_EQ(ActivationSpec::gelu(true).kind, ActivationKind::GeluTanh);
}

float value(ActivationKind kind, float x, std::array<float, 3> p) {
  return core::visit_elementwise(kind, [&](auto op) { return op.template apply<float>(x, p[0], p[1], p[2]); });
}

TEST(ActivationTest, DoesWhatKerasDoesWithNaNAndInfinities) {
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  for (const ActivationKind kind : elementwise_kinds()) {
    const std::string_view name = to_string(kind);
    ASSERT_TRUE(references().contains(name)) << name << " has no line in activation_reference.hpp";
    const auto& all = references().at(name).at_the_ends;
    EXPECT_FALSE(all.empty()) << name;
    for (const AtTheEnds& e : all) {
      EXPECT_TRUE(same(value(kind, kNaN, e.p), e.nan)) << name << "(NaN) = " << value(kind, kNaN, e.p);
      EXPECT_TRUE(same(value(kind, -kInf, e.p), e.below)) << name << "(-inf) = " << value(kind, -kInf, e.p);
      EXPECT_TRUE(same(value(kind, kInf, e.p), e.above)) << name << "(inf) = " << value(kind, kInf, e.p);
    }
  }
}

TEST(ActivationTest, IsRightWhereNaiveFormulasGiveZero) {
  EXPECT_LE(ulps(value(ActivationKind::Silu, -89, {}), -89 * std::exp(-89.)), 3);
  EXPECT_LE(ulps(value(ActivationKind::Gelu, -13.5F, {}), -13.5 * std::erfc(13.5 / std::sqrt(2.)) / 2), 3);
  EXPECT_LT(value(ActivationKind::GeluTanh, -8, {}), 0.F);
  EXPECT_LT(value(ActivationKind::Mish, -95, {}), 0.F);
  EXPECT_GT(value(ActivationKind::TanhShrink, 1e-6F, {}), 0.F);
  EXPECT_EQ(value(ActivationKind::Squareplus, 3e38F, {4}), 3e38F);
  EXPECT_EQ(value(ActivationKind::Squareplus, -0x1p-149F, {0}), 0.F);
}

TEST(ActivationTest, GeluIsRightInFloat64WhereItIsTiny) {
  using Limits = std::numeric_limits<double>;
  const auto gelu_of = [](double x) { return core::ActivationOp<ActivationKind::Gelu>::apply(x); };
  const auto truth = [](double x) {  // erfc of the exact argument: corrects for the rounding of x / sqrt(2)
    const long double root = 0.7071067811865475244008443621L;
    const long double y = -static_cast<long double>(x) * root;
    const long double y_low = std::fma(-static_cast<long double>(x), root, -y);
    return 0.5L * static_cast<long double>(x) * (std::erfc(y) - y_low * 1.1283791670955125738961589L * std::exp(-y * y));
  };
  for (double x = -39; x < 12; x += 0.0078) {
    const long double exact = truth(x);
    const int exponent = exact == 0 ? Limits::min_exponent : std::ilogb(static_cast<double>(exact));
    const long double ulp = std::max(std::ldexp(1.0L, exponent - 52), static_cast<long double>(Limits::denorm_min()));
    ASSERT_LE(std::fabs(static_cast<long double>(gelu_of(x)) - exact), 6 * ulp) << "gelu(" << x << ") = " << gelu_of(x);
  }
  EXPECT_EQ(gelu_of(Limits::infinity()), Limits::infinity());
  EXPECT_EQ(gelu_of(1e308), 1e308);
  EXPECT_EQ(gelu_of(-1e308), 0.0);
  EXPECT_TRUE(std::isnan(gelu_of(-Limits::infinity())) && std::isnan(gelu_of(Limits::quiet_NaN())));
}

class EachElementwise : public testing::TestWithParam<ActivationKind> {};

TEST_P(EachElementwise, HasAReference) { EXPECT_EQ(truths().count(to_string(GetParam())), 1U) << to_string(GetParam()); }

TEST_P(EachElementwise, StaysWithinItsBoundForAllFloats) {
  const Worst worst = worst_distance(GetParam(), 2039);
  EXPECT_LE(worst.ulps, ulp_bound(GetParam())) << to_string(GetParam()) << "(" << worst.x << ")";
}

TEST_P(EachElementwise, StaysWithinItsBoundInTheSmallestAndLargestFloats) {
  const Truth truth = truths().at(to_string(GetParam()));
  for (const auto& p : measured_parameters(GetParam())) {
    for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
      for (const std::uint32_t fraction : {0U, 1U, 2U, 0x2A'AAABU, 0x40'0000U, 0x7F'FFFEU, 0x7F'FFFFU}) {
        for (const std::uint32_t sign : {0U, 0x8000'0000U}) {
          const float x = std::bit_cast<float>(sign | (exponent << 23U) | fraction);
          EXPECT_LE(ulps(value(GetParam(), x, p), truth(x, {p[0], p[1], p[2]})), ulp_bound(GetParam()))
              << to_string(GetParam()) << " of " << x;
        }
      }
    }
  }
}

TEST_P(EachElementwise, ComputesInDoubleToo) {
  const Truth truth = truths().at(to_string(GetParam()));
  for (const auto& p : measured_parameters(GetParam())) {
    const std::array<double, 3> exact = {p[0], p[1], p[2]};
    for (double x = -30.37; x < 30; x += 0.0173) {
      const double y = core::visit_elementwise(
          GetParam(), [&](auto op) { return op.template apply<double>(x, exact[0], exact[1], exact[2]); });
      // 0.2 is a different number in each type.
      const double slack = GetParam() == ActivationKind::HardSigmoidKeras2 ? 1e-7 : 0;
      if (std::isnan(truth(x, exact))) {
        EXPECT_TRUE(std::isnan(y)) << to_string(GetParam()) << " of " << x;
        continue;
      }
      EXPECT_NEAR(y, truth(x, exact), 2e-13 * std::fabs(y) + 4e-16 + slack) << to_string(GetParam()) << " of " << x;
    }
  }
}

/// Every number of a 16-bit type: computed in float and rounded once, the result is the rounded truth or a neighbour of it.
template <typename T>
void expect_near_truth_in_16_bits(ActivationKind kind) {
  const Truth truth = truths().at(to_string(kind));
  const auto place16 = [](T x) {
    return (x.bits & 0x8000U) != 0 ? -static_cast<int>(x.bits & 0x7FFFU) : static_cast<int>(x.bits);
  };
  for (const auto& p : measured_parameters(kind)) {
    for (std::uint32_t bits = 0; bits <= 0xFFFFU; ++bits) {
      T x;
      x.bits = static_cast<std::uint16_t>(bits);
      const auto wide = static_cast<float>(x);
      if (!std::isfinite(wide)) continue;
      const T y(value(kind, wide, p));
      const T exact(static_cast<float>(truth(static_cast<double>(wide), {p[0], p[1], p[2]})));
      if (std::isnan(static_cast<float>(y)) && std::isnan(static_cast<float>(exact))) continue;
      ASSERT_LE(std::abs(place16(y) - place16(exact)), 1)
          << to_string(kind) << " of " << wide << " is " << static_cast<float>(exact);
    }
  }
}
TEST_P(EachElementwise, IsWithinOneUnitForEveryFloat16) { expect_near_truth_in_16_bits<float16>(GetParam()); }
TEST_P(EachElementwise, IsWithinOneUnitForEveryBfloat16) { expect_near_truth_in_16_bits<bfloat16>(GetParam()); }

/// A loop as in an engine, compiled for the baseline processor and for one with AVX2.
template <typename Op>
LAMELLA_HD void loop(const float* x, float* y, std::size_t n, const float* p) {
  for (std::size_t i = 0; i < n; ++i) y[i] = Op::apply(x[i], p[0], p[1], p[2]);
}
template <typename Op>
void plain_loop(const float* x, float* y, std::size_t n, const float* p) {
  loop<Op>(x, y, n, p);
}
#ifdef __x86_64__
template <typename Op>
__attribute__((target("avx2,fma"))) void vector_loop(const float* x, float* y, std::size_t n, const float* p) {
  loop<Op>(x, y, n, p);
}

TEST_P(EachElementwise, GivesTheSameBitsAtEveryIndexAndOnEveryProcessor) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) GTEST_SKIP() << "this processor has no AVX2 and FMA";
  std::uint32_t state = 12345;
  for (const std::size_t n :
       {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{127}, std::size_t{1027}, std::size_t{100003}}) {
    std::vector<float> x(n);
    std::vector<float> plain(n);
    std::vector<float> vectors(n);
    for (float& element : x) {
      state = state * 1664525U + 1013904223U;
      element = std::ldexp(static_cast<float>(state >> 8U) - 0x1p23F, static_cast<int>(state % 29U) - 38);
    }
    for (const auto& p : measured_parameters(GetParam())) {
      core::visit_elementwise(GetParam(), [&](auto op) {
        plain_loop<decltype(op)>(x.data(), plain.data(), n, p.data());
        vector_loop<decltype(op)>(x.data(), vectors.data(), n, p.data());
      });
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(plain[i]), std::bit_cast<std::uint32_t>(vectors[i]))
            << "element " << i << ": " << x[i];
      }
    }
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(Activation, EachElementwise, testing::ValuesIn(elementwise_kinds()),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace lamella::test
