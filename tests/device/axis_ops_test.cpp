// SPDX-License-Identifier: Apache-2.0
// Operations that reduce along an axis or take a slice of it.
#include <gmock/gmock.h>

#include "device/op_truth.hpp"

namespace lamella::test {
namespace {

constexpr DType kFloating[] = {DType::float32, DType::bfloat16, DType::float16, DType::float64};

TEST(ReduceTest, ReducesTheMiddleAxis) {
  using K = ops::ReduceKind;
  unsigned seed = 70;
  for (const K kind : {K::sum, K::mean, K::product, K::maximum, K::minimum}) {
    for (const DType dtype : kFloating) {
      for (const std::int64_t length : {1, 3, 17, 40, 1030}) {
        for (const std::int64_t inner : {1, 5, 33}) {
          const std::int64_t outer = length > 100 ? 1 : 2;
          auto x = random_values(static_cast<std::size_t>(outer * length * inner), ++seed);
          if (kind == K::product) {
            for (double& v : x) v = 1 + v / 64;
          }
          x = rounded(x, dtype);
          std::vector<double> want;
          for (std::int64_t o = 0; o < outer; ++o) {
            for (std::int64_t i = 0; i < inner; ++i) {
              std::vector<double> row;
              for (std::int64_t k = 0; k < length; ++k) row.push_back(x[static_cast<std::size_t>((o * length + k) * inner + i)]);
              double all = kind == K::product ? 1 : 0;
              for (const double v : row) all = kind == K::product ? all * v : all + v;
              if (kind == K::mean) all /= static_cast<double>(length);
              if (kind == K::maximum) all = *std::max_element(row.begin(), row.end());
              if (kind == K::minimum) all = *std::min_element(row.begin(), row.end());
              want.push_back(all);
            }
          }
          SCOPED_TRACE(core::format("{} {} {} {}", static_cast<int>(kind), outer, length, inner));
          expect_near(
              run(ops::ReduceDesc{kind, outer, length, inner, dtype}, constants_of({}), sources({x}, dtype), dtype, want.size()),
              want, dtype, kind == K::product && dtype == DType::float64 ? 2000 : 0, dtype == DType::float64 ? 2000 : 0);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(ReduceTest, CancelsExactlyPropagatesNaNAndAcceptsEmptyInputs) {
  using K = ops::ReduceKind;
  const auto one = [](K kind, std::int64_t length, std::int64_t inner, const std::vector<double>& x) {
    return run(ops::ReduceDesc{kind, 1, length, inner, DType::float32}, constants_of({}), sources({x}, DType::float32),
               DType::float32, static_cast<std::size_t>(inner));
  };
  std::vector<double> x(1030, 1e-3F);
  x[3] = 1e8;
  x[900] = -1e8;
  EXPECT_NEAR(one(K::sum, 1030, 1, x)[0], 1028 * static_cast<double>(1e-3F), 1e-5);  // a sum in float32 is off by 8
  EXPECT_NEAR(one(K::mean, 1030, 1, x)[0], 1028 * static_cast<double>(1e-3F) / 1030, 1e-8);
  for (const K kind : {K::maximum, K::minimum, K::sum}) {
    for (const std::size_t place : {0U, 500U, 1029U}) {
      std::vector<double> with = x;
      with[place] = std::nan("");
      EXPECT_TRUE(std::isnan(one(kind, 1030, 1, with)[0])) << place;
    }
    EXPECT_TRUE(std::isnan(one(kind, 2, 2, {1, std::nan(""), std::nan(""), 2})[0]));
  }
  EXPECT_THAT(one(K::sum, 0, 2, {}), testing::ElementsAre(0, 0));
  EXPECT_THAT(one(K::product, 0, 1, {}), testing::ElementsAre(1));
  EXPECT_TRUE(std::isnan(one(K::mean, 0, 1, {})[0]));
}

TEST(SliceTest, TakesEveryStepFromEveryStart) {
  const Shape src{2, 5, 1, 7};
  for (const DType dtype : kFloating) {
    const auto x = rounded(random_values(static_cast<std::size_t>(src.elements()), 1), dtype);
    for (const std::int64_t step : {1, 2, -1, -3}) {
      for (const std::int64_t start : {0, 2, 6}) {
        const std::int64_t extent = step > 0 ? (7 - start + step - 1) / step : (start + -step) / -step;
        const ops::SliceDesc d{src, {2, 2, 1, extent}, {0, 1, 0, start}, {1, 3, 1, step}, dtype};
        std::vector<double> want;
        for (std::int64_t a = 0; a < 2; ++a) {
          for (std::int64_t b = 0; b < 2; ++b) {
            for (std::int64_t c = 0; c < extent; ++c)
              want.push_back(x[static_cast<std::size_t>((a * 5 + 1 + 3 * b) * 7 + start + c * step)]);
          }
        }
        EXPECT_EQ(run(d, constants_of({}), sources({x}, dtype), dtype, want.size()), want) << start << " " << step;
      }
    }
  }
  EXPECT_THAT(run(ops::SliceDesc{{2, 3}, {2, 0}, {0, 3}, {1, 1}, DType::float32}, constants_of({}),
                  sources({{1, 2, 3, 4, 5, 6}}, DType::float32), DType::float32, 0),
              testing::IsEmpty());
}

}  // namespace
}  // namespace lamella::test
