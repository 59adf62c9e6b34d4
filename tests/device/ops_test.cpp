// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "device/op_truth.hpp"
#include "effort.hpp"

namespace lamella::test {
namespace {

constexpr DType kFloating[] = {DType::float32, DType::bfloat16, DType::float16, DType::float64};

TEST(ActivationTest, ComputesEveryKindInEveryTypeAndLength) {
  Thinning thinning;
  for (int k = 0; !is_rowwise(static_cast<ActivationKind>(k)); ++k) {
    const auto kind = static_cast<ActivationKind>(k);
    const ActivationSpec spec = with_defaults(kind);
    for (const DType dtype : kFloating) {
      if (thinning.leaves_out()) continue;
      if (kind == ActivationKind::HardSigmoidKeras2 && dtype == DType::float64)
        continue;  // the reference's slope is the float32 0.2
      for (const std::size_t n : {0U, 1U, 3U, 127U, 1027U, 100'003U}) {
        const auto x = activation_inputs(n, 3, dtype);
        const auto want = activation_truth(spec, x);
        SCOPED_TRACE(to_string(kind));
        expect_near(
            run(ops::ActivationDesc{static_cast<std::int64_t>(n), spec, dtype}, constants_of({}), sources({x}, dtype), dtype, n),
            want, dtype, std::max(1, ulp_bound(kind)), 0.5);
      }
    }
  }
}

TEST(ActivationTest, GivesAnElementTheSameBitsAtEveryIndex) {
  const auto x = random_values(1027, 4, 4.0);
  const ops::ActivationDesc all{1027, activation_of("gelu"), DType::float32};
  const auto y = run(all, constants_of({}), sources({x}, DType::float32), DType::float32, 1027);
  for (const std::size_t begin : {1U, 63U, 64U, 500U, 1026U}) {
    const std::vector<double> part(x.begin() + static_cast<std::ptrdiff_t>(begin), x.end());
    const ops::ActivationDesc desc{static_cast<std::int64_t>(part.size()), activation_of("gelu"), DType::float32};
    const auto z = run(desc, constants_of({}), sources({part}, DType::float32), DType::float32, part.size());
    EXPECT_TRUE(std::equal(z.begin(), z.end(), y.begin() + static_cast<std::ptrdiff_t>(begin))) << begin;
  }
}

TEST(RowwiseTest, FollowsTheDefinitionsAlongEveryAxis) {
  unsigned seed = 0;
  Thinning thinning;
  const std::int64_t most =
      device().is_cuda() ? 3 : 33;  // rows; few on CUDA, because the test double runs a kernel's threads one after another
  for (const auto kind : {ActivationKind::Softmax, ActivationKind::LogSoftmax, ActivationKind::Sparsemax, ActivationKind::Glu}) {
    for (const DType dtype : kFloating) {
      for (const std::int64_t outer : {std::int64_t{0}, std::int64_t{1}, most}) {
        for (const std::int64_t length : {2, 10, 128, 1030}) {
          for (const std::int64_t inner : {std::int64_t{1}, std::int64_t{3}, std::int64_t{17}}) {
            if (thinning.leaves_out()) continue;
            const ops::RowwiseDesc d{kind, outer, length, inner, dtype};
            const auto x = rounded(random_values(static_cast<std::size_t>(outer * length * inner), ++seed, 3.0), dtype);
            const auto want = rowwise_truth(d, x);
            SCOPED_TRACE(core::format("{} {} {} {}", to_string(kind), outer, length, inner));
            expect_near(run(d, constants_of({}), sources({x}, dtype), dtype, want.size()), want, dtype, 40, 40);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(RowwiseTest, IsStableForLargeNumbersAndPassesNaNOn) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const ops::RowwiseDesc d{ActivationKind::Softmax, 4, 3, 1, DType::float32};
  const auto y =
      run(d, constants_of({}), sources({{1e38, 1e38, -kInf, 1, std::nan(""), 2, kInf, 1, 2, -3e38, 3e38, 0}}, DType::float32),
          DType::float32, 12);
  EXPECT_EQ(y[0], 0.5);
  EXPECT_EQ(y[2], 0.0);
  for (std::size_t i = 3; i < 9; ++i) EXPECT_TRUE(std::isnan(y[i])) << i;
  EXPECT_EQ(y[10], 1.0);
}

TEST(RowwiseTest, SparsemaxTakesMinusInfinityAndLargeNumbers) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const ops::RowwiseDesc d{ActivationKind::Sparsemax, 2, 3, 1, DType::float32};
  const auto y = run(d, constants_of({}), sources({{-kInf, 0.5, 0.25, 100, 0, -100}}, DType::float32), DType::float32, 6);
  EXPECT_THAT(y, testing::ElementsAre(0, 0.375, 0.125, 1, 0, 0));
}

TEST(LayerNormalizationTest, FollowsEveryKindsFormula) {
  using Kind = ops::NormalizationKind;
  for (const DType dtype : kFloating) {
    for (const Kind kind : {Kind::standard, Kind::deviation, Kind::mean_square, Kind::unit}) {
      for (const std::size_t length : {1U, 3U, 31U, 1027U}) {
        const auto gamma = rounded(random_values(length, 1), DType::float32);
        const auto beta = rounded(random_values(length, 2), DType::float32);
        auto x = random_values(3 * length, 3);
        for (double& v : x) v += 10;
        const bool standard = kind == Kind::standard;
        const bool around_mean = standard || kind == Kind::deviation;
        x = rounded(x, dtype);
        std::vector<double> want(x.size());
        for (std::size_t o = 0; o < 3; ++o) {
          double mean = 0;
          double variance = 0;
          for (std::size_t i = 0; around_mean && i < length; ++i) mean += x[o * length + i] / static_cast<double>(length);
          for (std::size_t i = 0; i < length; ++i)
            variance += std::pow(x[o * length + i] - mean, 2) / static_cast<double>(length);
          for (std::size_t i = 0; i < length; ++i) {
            const double divisor =
                kind == Kind::unit ? std::sqrt(variance * static_cast<double>(length)) : std::sqrt(variance + 1e-3);
            want[o * length + i] = (x[o * length + i] - (standard ? mean : 0)) / divisor * gamma[i] + (standard ? beta[i] : 0.0);
          }
        }
        const ops::LayerNormalizationDesc d{3, static_cast<std::int64_t>(length), 1e-3, true, standard, kind, dtype};
        const auto constants = standard ? constants_of({gamma, beta}) : constants_of({gamma});
        expect_near(run(d, constants, sources({x}, dtype), dtype, x.size()), want, dtype, 4, 1e4);
      }
    }
  }
}

TEST(LayerNormalizationTest, OfUnitLengthAcceptsZerosNaNAndInfinity) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const ops::LayerNormalizationDesc d{.outer = 4, .length = 2, .epsilon = 1e-12, .kind = ops::NormalizationKind::unit};
  const auto y =
      run(d, constants_of({}), sources({{0, 0, 3e-13, 0, 1, std::nan(""), kInf, 1}}, DType::float32), DType::float32, 8);
  EXPECT_THAT(std::vector<double>(y.begin(), y.begin() + 2), testing::ElementsAre(0, 0));
  EXPECT_NEAR(y[2], 0.3, 1e-7);
  EXPECT_TRUE(std::isnan(y[4]) && std::isnan(y[5]) && std::isnan(y[6]));
  EXPECT_EQ(y[7], 0);
}

TEST(InnerProductsTest, MultipliesEveryRowWithEveryRow) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t length : {0, 1, 17, 130}) {
      const ops::InnerProductsDesc d{3, 2, 5, length, dtype};
      const auto a = rounded(random_values(static_cast<std::size_t>(3 * 2 * length), 1), dtype);
      const auto b = rounded(random_values(static_cast<std::size_t>(3 * 5 * length), 2), dtype);
      std::vector<double> want(30);
      for (std::size_t at = 0; at < want.size(); ++at) {
        const auto n = static_cast<std::size_t>(length);
        for (std::size_t k = 0; k < n; ++k) want[at] += a[at / 5 * n + k] * b[(at / 10 * 5 + at % 5) * n + k];
      }
      expect_near(run(d, constants_of({}), sources({a, b}, dtype), dtype, want.size()), want, dtype, 4, 100);
    }
  }
  EXPECT_THAT(run(ops::InnerProductsDesc{0, 2, 5, 3, DType::float32}, constants_of({}), sources({{}, {}}, DType::float32),
                  DType::float32, 0),
              testing::IsEmpty());
}

std::vector<double> combined(ops::CombineKind kind, const Shape& dst, const std::vector<Shape>& shapes,
                             const std::vector<std::vector<double>>& srcs) {
  return run(ops::CombineDesc{kind, dst, shapes, DType::float32}, constants_of({}), sources(srcs, DType::float32), DType::float32,
             static_cast<std::size_t>(dst.elements()));
}

TEST(CombineTest, FoldsFromTheLeftAndBroadcasts) {
  using K = ops::CombineKind;
  EXPECT_THAT(combined(K::subtract, {2, 2}, {{2, 2}, {2, 2}}, {{5, 6, 7, 8}, {1, 2, 3, 4}}), testing::ElementsAre(4, 4, 4, 4));
  EXPECT_THAT(combined(K::average, {3}, {{3}, {3}, {3}}, {{1, 2, 3}, {1, 2, 3}, {4, 5, 9}}), testing::ElementsAre(2, 3, 5));
  EXPECT_THAT(combined(K::add, {2, 3}, {{2, 1}, {1, 3}}, {{10, 20}, {1, 2, 3}}), testing::ElementsAre(11, 12, 13, 21, 22, 23));
  EXPECT_THAT(combined(K::multiply, {2, 2, 2}, {{2, 1, 2}, {1, 2, 1}}, {{1, 2, 3, 4}, {10, 100}}),
              testing::ElementsAre(10, 20, 100, 200, 30, 40, 300, 400));
  EXPECT_THAT(combined(K::add, {0, 3}, {{0, 3}, {1, 3}}, {{}, {1, 2, 3}}), testing::IsEmpty());
  EXPECT_THAT(combined(K::add, {}, {{}, {}}, {{1}, {2}}), testing::ElementsAre(3));
  for (const K kind : {K::maximum, K::minimum}) {
    const auto y = combined(kind, {3}, {{3}, {3}}, {{std::nan(""), 1, 2}, {1, std::nan(""), 3}});
    EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
    EXPECT_EQ(y[2], kind == K::maximum ? 3 : 2);
  }
}

TEST(CombineTest, SelectsOneSourceWhereTheOtherIsNotZero) {
  const auto y =
      combined(ops::CombineKind::where, {2, 3}, {{2, 3}, {2, 1}}, {{1, std::nan(""), 3, 4, std::nan(""), -1}, {0, -0.5}});
  EXPECT_THAT(std::vector<double>(y.begin(), y.begin() + 4), testing::ElementsAre(0, 0, 0, 4));
  EXPECT_TRUE(std::isnan(y[4]));
  EXPECT_EQ(y[5], -1);
}

TEST(CombineTest, RepeatsOneSource) {
  EXPECT_THAT(combined(ops::CombineKind::add, {2, 3, 2}, {{2, 1, 2}}, {{1, 2, 3, 4}}),
              testing::ElementsAre(1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4));
}

TEST(CombineTest, RoundsOnceHoweverManySources) {
  const std::vector<Shape> shapes(5, Shape{1});
  const auto y = run(ops::CombineDesc{ops::CombineKind::add, {1}, shapes, DType::bfloat16}, constants_of({}),
                     sources({{256}, {0.5}, {0.5}, {0.5}, {0.5}}, DType::bfloat16), DType::bfloat16, 1);
  EXPECT_EQ(y[0], 258);
}

TEST(CombineTest, DividesRaisesAndUsesAConstant) {
  using K = ops::CombineKind;
  EXPECT_THAT(combined(K::divide, {3}, {{3}, {3}}, {{1, -4, 6}, {2, 8, 0}}),
              testing::ElementsAre(0.5, -0.5, std::numeric_limits<double>::infinity()));
  EXPECT_THAT(combined(K::power, {4}, {{4}, {4}}, {{2, -2, 9, 0}, {10, 3, -0.5, 0}}),
              testing::ElementsAre(1024, -8, 1.0F / 3.0F, 1));
  EXPECT_TRUE(std::isnan(combined(K::power, {1}, {{1}, {1}}, {{-2}, {0.5}})[0]));
  for (const DType dtype : kFloating) {
    for (const int constant : {0, 1}) {
      for (const std::int64_t batch : {1, 3}) {
        const auto x = rounded(random_values(static_cast<std::size_t>(batch * 2), 1), dtype);
        const auto c = rounded(random_values(5, 2), dtype);
        const std::vector<Shape> srcs =
            constant == 0 ? std::vector<Shape>{{1, 1, 5}, {batch, 2, 1}} : std::vector<Shape>{{batch, 2, 1}, {1, 1, 5}};
        std::vector<double> want;
        for (const double v : x) {
          for (const double w : c) want.push_back(constant == 0 ? w / v : v / w);
        }
        const ops::CombineDesc d{K::divide, {batch, 2, 5}, srcs, dtype, constant};
        expect_near(run(d, constants_of({c}, dtype), sources({x}, dtype), dtype, want.size()), want, dtype, 1);
      }
    }
  }
}

TEST(ConcatTest, PutsRowsSideBySide) {
  for (const DType dtype : kFloating) {
    const auto y =
        run(ops::ConcatDesc{2, {1, 0, 2}, dtype}, constants_of({}), sources({{1, 2}, {}, {3, 4, 5, 6}}, dtype), dtype, 6);
    EXPECT_THAT(y, testing::ElementsAre(1, 3, 4, 2, 5, 6));
  }
}

TEST(TransposeTest, MovesAxes) {
  for (const DType dtype : kFloating) {
    const Shape src{3, 1, 17, 20};
    const auto x = rounded(random_values(static_cast<std::size_t>(src.elements()), 1), dtype);
    for (const std::vector<int>& permutation : {std::vector<int>{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 3, 2, 1}, {2, 0, 3, 1}}) {
      std::vector<double> want;
      const auto at = [&](int k) { return src[permutation[static_cast<std::size_t>(k)]]; };
      for (std::int64_t a = 0; a < at(0); ++a) {
        for (std::int64_t b = 0; b < at(1); ++b) {
          for (std::int64_t c = 0; c < at(2); ++c) {
            for (std::int64_t d = 0; d < at(3); ++d) {
              const std::int64_t index[] = {a, b, c, d};
              std::int64_t from[4];
              for (std::size_t k = 0; k < 4; ++k) from[permutation[k]] = index[k];
              want.push_back(x[static_cast<std::size_t>(((from[0] * 1 + from[1]) * 17 + from[2]) * 20 + from[3])]);
            }
          }
        }
      }
      EXPECT_EQ(run(ops::TransposeDesc{src, permutation, dtype}, constants_of({}), sources({x}, dtype), dtype, x.size()), want);
    }
  }
  const ops::TransposeDesc flat{{5}, {0}, DType::float32};
  EXPECT_THAT(run(flat, constants_of({}), sources({{1, 2, 3, 4, 5}}, DType::float32), DType::float32, 5),
              testing::ElementsAre(1, 2, 3, 4, 5));
  const ops::TransposeDesc none{{0, 3}, {1, 0}, DType::float32};
  EXPECT_THAT(run(none, constants_of({}), sources({{}}, DType::float32), DType::float32, 0), testing::IsEmpty());
}

TEST(CastTest, RoundsToNearestEven) {
  for (const DType from : kFloating) {
    for (const DType to : kFloating) {
      const auto x = rounded(random_values(1027, 5), from);
      const ops::CastDesc d{1027, from, to};
      EXPECT_EQ(run(d, constants_of({}), sources({x}, from), to, 1027), rounded(from == DType::float64 ? rounded(x, to) : x, to));
    }
  }
}

TEST(CastTest, OfFloat64RoundsOnce) {
  // Just above and below the midpoint of two neighbours, by less than float32 can represent.
  const std::vector<double> x{1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11 - 0x1p-40, -1 - 0x1p-8 - 0x1p-40, 1 + 0x3p-8 - 0x1p-40};
  const auto cast = [&](DType to) {
    return run(ops::CastDesc{4, DType::float64, to}, constants_of({}), sources({x}, DType::float64), to, 4);
  };
  EXPECT_THAT(cast(DType::float16), testing::ElementsAre(1 + 0x1p-10, 1, -1 - 0x1p-8, 1 + 0x3p-8));
  EXPECT_THAT(cast(DType::bfloat16), testing::ElementsAre(1, 1, -1 - 0x1p-7, 1 + 0x1p-7));
}

TEST(DeviceOpsTest, RefuseIntegersWithAReason) {
  const std::vector<std::pair<ops::Desc, std::size_t>> descs{
      {ops::ActivationDesc{1, {}, DType::int8}, 0},
      {ops::RowwiseDesc{{}, 1, 2, 1, DType::int32}, 0},
      {ops::AffineDesc{1, {}, {}, {}, DType::uint8}, 2},
      {ops::PReluDesc{1, {}, {}, DType::int8}, 1},
      {ops::CombineDesc{ops::CombineKind::average, {1}, {{1}}, DType::int32}, 0},
      {ops::ReduceDesc{{}, 1, 1, 1, DType::int8}, 0}};
  for (const auto& [desc, constants] : descs) {
    try {
      (void)device_ops().plan(desc, constants_of(std::vector<std::vector<double>>(constants, {1.0})), context(), {});
      ADD_FAILURE() << "accepted desc " << desc.index();
    } catch (const ArgumentError& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr("allowed float32, float16, bfloat16, float64"));
    }
  }
}

/// The constants of each kind of operation: their numbers of elements, and the dtypes of the first ones if not float32.
struct Takes {
  ops::Desc desc;
  std::vector<std::size_t> sizes;
  std::vector<DType> dtypes = {};
};

std::shared_ptr<const ops::Constants> zeros(const std::vector<std::size_t>& sizes, DType dtype,
                                            const std::vector<DType>& dtypes = {}) {
  std::vector<std::shared_ptr<const Tensor>> values;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const DType own = i < dtypes.size() ? dtypes[i] : dtype;
    values.push_back(std::make_shared<const Tensor>(Tensor::zeros({sizes[i]}, own)));
  }
  return std::make_shared<const ops::Constants>(std::move(values));
}

/// Each operation, with and without its optional constants.
std::vector<Takes> operations() {
  const DType f = DType::float32;
  std::vector<Takes> all{
      {ops::DenseDesc{2, 3, 5, true, {}, f}, {15, 5}},
      {ops::DenseDesc{2, 3, 5, false, {}, f}, {15}},
      {ops::LayerNormalizationDesc{2, 7, 1e-3, true, true, ops::NormalizationKind::standard, f}, {7, 7}},
      {ops::LayerNormalizationDesc{2, 7, 1e-3, false, true, ops::NormalizationKind::standard, f}, {7}},
      {ops::LayerNormalizationDesc{2, 7, 1e-3, false, false, ops::NormalizationKind::standard, f}, {}},
      {ops::AffineDesc{2, {3, 5}, {3, 1}, {3, 5}, f}, {3, 15}},
      {ops::AffineDesc{2, {}, {}, {}, f}, {1, 1}},
      {ops::PReluDesc{2, {7, 2}, {7, 1}, f}, {7}},
      {ops::ActivationDesc{7, activation_of("relu"), f}, {}},
      {ops::RowwiseDesc{ActivationKind::Softmax, 2, 3, 1, f}, {}},
      {ops::CombineDesc{ops::CombineKind::add, {7}, {{7}, {7}}, f}, {}},
      {ops::CombineDesc{ops::CombineKind::add, {2, 7}, {{2, 7}, {1, 7}}, f, 1}, {7}},
      {ops::ReduceDesc{ops::ReduceKind::sum, 2, 3, 1, f}, {}},
      {ops::SliceDesc{{2, 3}, {2, 1}, {0, 1}, {1, 1}, f}, {}},
      {ops::ConcatDesc{2, {3, 4}, f}, {}},
      {ops::TransposeDesc{{2, 3}, {1, 0}, f}, {}},
      {ops::CastDesc{7, f, DType::float16}, {}},
      {ops::InnerProductsDesc{2, 3, 5, 7, f}, {}},
      {ops::QuantizedDenseDesc{.batch = 2, .inputs = 3, .units = 5, .has_bias = true, .activation = {}},
       {15, 5, 5},
       {DType::int8}},
      {ops::QuantizedDenseDesc{.batch = 2, .inputs = 3, .units = 5, .groups = 2, .activation = {}},
       {15, 10, 10, 3},
       {DType::int8, f, f, DType::int32}},
      {ops::QuantizeDequantizeDesc{7, 1, f}, {}},
      {ops::GatherDesc{2, 3, 5, DType::int32, f}, {15}},
      {ops::BucketDesc{2, 3, f}, {3}},
      {ops::LookupDesc{2, 3, 0, 0}, {3, 3}, {DType::int64, DType::int64}},
      {ops::CountDesc{2, 3, 5, false, DType::int32, f}, {}},
      {ops::HashDesc{2, {.bins = 3}}, {}},
  };
  const ops::StackDesc stack{2, {{3, 5, true, {}}, {5, 2, false, {}}}};
  if (device_ops().takes(stack, context(), {})) all.push_back({stack, {15, 5, 10}});
  return all;
}

TEST(DeviceOpsTest, RefuseConstantsThatDoNotMatchTheDesc) {
  const DType f = DType::float32;
  ASSERT_EQ(std::variant_size_v<ops::Desc>, 21) << "a new kind of operation needs its rows here";
  for (const Takes& takes : operations()) {
    SCOPED_TRACE(testing::Message() << "operation " << takes.desc.index() << " with " << takes.sizes.size() << " constants");
    const auto plan = [&](const std::vector<std::size_t>& sizes, DType dtype) {
      return device_ops()
          .plan(takes.desc, zeros(sizes, dtype, dtype == f ? takes.dtypes : std::vector<DType>{}), context(), {})
          .plan;
    };
    const auto expect_internal = [&](const std::vector<std::size_t>& sizes, DType dtype) {
      try {
        (void)plan(sizes, dtype);
        ADD_FAILURE() << "planned";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::internal) << error.what();
      }
    };
    EXPECT_NE(plan(takes.sizes, f), nullptr);
    std::vector<std::size_t> more = takes.sizes;
    more.push_back(1);
    expect_internal(more, f);
    for (std::size_t i = 0; i < takes.sizes.size(); ++i) {
      std::vector<std::size_t> sizes = takes.sizes;
      for (const std::size_t other : {std::size_t{0}, sizes[i] - 1, sizes[i] + 1}) {
        sizes[i] = other;
        expect_internal(sizes, f);
      }
      sizes = takes.sizes;
      sizes.pop_back();
      expect_internal(sizes, f);
      expect_internal(takes.sizes, DType::int32);
    }
  }
}

}  // namespace
}  // namespace lamella::test
