// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/mma_case.hpp"

namespace lamella::test {
namespace {

using kernels::MmaTile;

constexpr std::array kTypes{DType::float16, DType::bfloat16};
using Case = MmaCase<DType::float16>;

std::vector<double> run(const Case& c, const DenseData& data) {
  Buffer kernel(fragments_of(c, data), c.dtype, true);
  return run_mma(c, data, kernel.data(), kernels::mma_gemm);
}

void check(const Case& c, const DenseData& data) { expect_sums(c, data, run(c, data), 0x1p-23); }
void check(const Case& c) { check(c, random_data(c)); }

class MmaGemmTest : public TensorCoreTest {};

TEST_F(MmaGemmTest, IsRightInAnyShape) {
  for (const std::int64_t batch : {0, 1, 7, 33}) {
    for (const std::int64_t inputs : {0, 1, 8, 31, 65}) {
      for (const std::int64_t units : {0, 1, 12, 65}) {
        const bool odd = (batch + inputs + units) % 2 != 0;
        check({.dtype = kTypes[odd ? 0 : 1], .tile = MmaTile::few_rows, .batch = batch, .inputs = inputs, .units = units});
      }
    }
  }
  for (const std::int64_t batch : {1, 63, 130}) {
    for (const std::int64_t inputs : {1, 40, 131}) {
      for (const std::int64_t units : {3, 64, 129})
        check({.dtype = kTypes[batch % 2 == 0 ? 0 : 1],
               .tile = MmaTile::many_rows,
               .batch = batch,
               .inputs = inputs,
               .units = units});
    }
  }
}

TEST_F(MmaGemmTest, ReadsAndWritesPacksWhereItCan) {
  for (const MmaTile tile : kMmaTiles) {
    for (const DType dtype : kTypes) {
      for (const std::int64_t inputs : {8, 32, 72, 300, 301}) {
        for (const std::int64_t units : {4, 68, 70})
          check({.dtype = dtype,
                 .tile = tile,
                 .batch = 35,
                 .inputs = inputs,
                 .units = units,
                 .src_aligned = true,
                 .dst_aligned = true});
      }
    }
  }
}

TEST_F(MmaGemmTest, IsRightForLongSumsAndWithoutABias) {
  for (const MmaTile tile : kMmaTiles)
    check({.dtype = DType::bfloat16, .tile = tile, .batch = 3, .inputs = 1029, .units = 5, .bias = false});
}

TEST_F(MmaGemmTest, IsCloseInNorm) {
  const Case c{.batch = 40, .inputs = 512, .units = 64, .src_aligned = true, .dst_aligned = true};
  const DenseData data = random_data(c, 1 / std::sqrt(512.0));
  const std::vector<double> y = run(c, data);
  const Sums s = sums_of(c, data);
  double off = 0;
  double size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    off += (y[i] - s.sum[i]) * (y[i] - s.sum[i]);
    size += s.sum[i] * s.sum[i];
    ASSERT_LE(std::fabs(y[i] - s.sum[i]), spacing(c.dtype, s.sum[i]) / 2 + 2e-3 * std::fabs(s.sum[i]));
  }
  EXPECT_LE(std::sqrt(off / size), 2.5e-4);  // the error of rounding to 11 bits
}

TEST_F(MmaGemmTest, AppliesEveryActivationToTheSum) {
  for (const DType dtype : kTypes) ASSERT_NO_FATAL_FAILURE(expect_every_activation<DType::float16>(dtype, run));
}

TEST_F(MmaGemmTest, ASampleHasTheSameBitsInEveryBatchAndTile) {
  for (const DType dtype : kTypes) ASSERT_NO_FATAL_FAILURE(expect_bits_of_batch_in_parts<DType::float16>(dtype, run));
}

TEST_F(MmaGemmTest, PassesNaNAndInfinityOnAsSumsDo) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const MmaTile tile : kMmaTiles) {
    for (const DType dtype : kTypes) {
      for (const bool aligned : {false, true}) {
        const Case c{
            .dtype = dtype, .tile = tile, .batch = 20, .inputs = 40, .units = 72, .src_aligned = aligned, .dst_aligned = aligned};
        DenseData data = random_data(c);
        data.x[3 * 40 + 39] = std::nan("");
        data.x[17 * 40] = kInf;
        data.x[18 * 40] = kInf;
        data.x[18 * 40 + 1] = -kInf;
        data.w[39 * 72 + 71] = -kInf;
        data.w[2 * 72 + 5] = std::nan("");
        data.w[3 * 72 + 6] = 0;
        data.x[19 * 40 + 3] = kInf;  // times 0
        data.b[7] = kInf;
        check(c, data);
      }
    }
  }
}

TEST_F(MmaGemmTest, SumsBeyondTheTypeAreInfinite) {
  for (const MmaTile tile : kMmaTiles) {
    const Case c{.tile = tile, .batch = 2, .inputs = 3, .units = 2, .bias = false};
    const std::vector<double> y = run(c, {{60000, 60000, 1, -60000, 5000, 1}, {1, 2, 0.125, -1, 1, 1}, {0, 0}});
    EXPECT_TRUE(std::isinf(y[0]) && y[0] > 0);
    EXPECT_EQ(y[2], -59360);  // the float nearest to -59374
  }
}

TEST_F(MmaGemmTest, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float16, true);
  const kernels::Dense args{{}, DType::float16, memory.data(), memory.data(), nullptr, memory.data(), 1, 4, 4};
  const auto refused = [&](auto change) {
    kernels::Dense bad = args;
    change(bad);
    return kernels::mma_gemm(bad, MmaTile::automatic, nullptr) == cudaErrorInvalidValue;
  };
  EXPECT_TRUE(refused([](auto& a) { a.dtype = DType::float32; }));
  EXPECT_TRUE(refused([](auto& a) { a.dtype = DType::float64; }));
  EXPECT_TRUE(refused([](auto& a) { a.inputs = kernels::kMostMmaInputs + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.units = kernels::MmaLayout::kMostUnits + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.kernel = static_cast<const char*>(a.kernel) + 2; }));
  EXPECT_TRUE(refused([](auto& a) { a.activation.kind = ActivationKind::Softmax; }));
}

TEST(MmaLayoutTest, EveryWeightHasItsOwnPlace) {
  const kernels::MmaLayout layout{70, 130};
  EXPECT_EQ(layout.elements(), 96 * 192);
  std::vector<int> taken(static_cast<std::size_t>(layout.elements()));
  for (std::int64_t i = 0; i < 96; ++i) {
    for (std::int64_t u = 0; u < 192; ++u) ++taken.at(static_cast<std::size_t>(layout.at(i, u)));
  }
  EXPECT_THAT(taken, testing::Each(1));
}

}  // namespace
}  // namespace lamella::test
