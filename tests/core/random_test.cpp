// SPDX-License-Identifier: Apache-2.0
#include "core/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lamella::core {
namespace {

double normal_below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

TEST(PhiloxTest, GivesThePublishedAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32_10({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}), (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(UniformTest, StaysInsideItsOpenEndsAndUsesEveryBitOfSeedAndIndex) {
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    const double u = uniform(3, i);
    EXPECT_GT(u, 0.0);
    EXPECT_LT(u, 1.0);
  }
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(uniform(std::uint64_t{1} << bit, 5), uniform(0, 5)) << bit;
    EXPECT_NE(uniform(5, std::uint64_t{1} << bit), uniform(5, 0)) << bit;
  }
}

TEST(NormalQuantileTest, InvertsTheDistributionFunction) {
  for (double p : {0x1p-53, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.02, 0.0749, 0.075, 0.0751, 0.1, 0.25, 0.4999, 0.5}) {
    const double x = normal_quantile(p);
    const double slope = std::exp(-x * x / 2.0) / std::sqrt(2.0 * 3.14159265358979323846);
    EXPECT_LE(std::fabs(normal_below(x) - p) / slope, 4e-15 * (1.0 + std::fabs(x))) << p;
  }
  EXPECT_EQ(normal_quantile(0.5), 0.0);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-14);
  EXPECT_EQ(normal_quantile(0.75), -normal_quantile(0.25));
  EXPECT_TRUE(std::isfinite(normal_quantile(1.0 - 0x1p-53)));
}

TEST(DrawTest, GivesTheSameElementsInPiecesAsInOne) {
  for (const auto kind : {Distribution::Kind::uniform, Distribution::Kind::normal, Distribution::Kind::truncated_normal}) {
    const Distribution distribution{kind, 0.25, 3.0};
    std::vector<double> whole(1027);
    draw(distribution, 11, 7, whole);
    for (std::size_t first = 0; first < whole.size(); first += 127) {
      std::vector<double> piece(std::min<std::size_t>(127, whole.size() - first));
      draw(distribution, 11, 7 + first, piece);
      for (std::size_t i = 0; i < piece.size(); ++i) ASSERT_EQ(piece[i], whole[first + i]) << first + i;
    }
  }
}

TEST(OrthogonalTest, KeepsTheSignsThatMakeTheUpperTriangleOfRPositive) {
  constexpr std::size_t kRows = 9;
  constexpr std::size_t kCols = 4;
  std::vector<double> drawn(kRows * kCols);
  draw({Distribution::Kind::normal, 0.0, 1.0}, 21, 0, drawn);
  std::vector<double> q(kRows * kCols);
  draw_orthogonal(kRows, kCols, 1.0, 21, q);
  for (std::size_t a = 0; a < kCols; ++a) {
    for (std::size_t b = 0; b < kCols; ++b) {
      double r = 0.0;  // R = Q^T A; A is column-major
      for (std::size_t i = 0; i < kRows; ++i) r += q[i * kCols + a] * drawn[b * kRows + i];
      if (a == b) {
        EXPECT_GT(r, 0.0) << a;
      }
      if (a > b) {
        EXPECT_NEAR(r, 0.0, 1e-13) << a << b;
      }
    }
  }
}

}  // namespace
}  // namespace lamella::core
