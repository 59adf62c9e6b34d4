// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/kernel_support.hpp"

#include <numeric>

/// Every kernel that has barriers or exchanges, once in each of its forms and small: ThreadSanitizer, which is told what orders
/// the threads of a block, takes its time.
namespace lamella::test {
namespace {

std::vector<double> rowwise_in_place(ActivationKind kind, std::int64_t rows, std::int64_t length) {
  Buffer memory(random_values(rows * length, 71), DType::float32);
  kernels::Rowwise args{kind, DType::float32, memory.data(), memory.data(), nullptr, rows, length, 1};
  EXPECT_EQ(kernels::rowwise(args, nullptr), cudaSuccess);
  return memory.values();
}

TEST(RacesTest, SoftmaxInPlace) {
  for (const std::int64_t length :
       {60, 300, 1100, 8200}) {  // a warp with few and with many elements, a block, a block that reads again
    const std::vector<double> y = rowwise_in_place(ActivationKind::Softmax, 1, length);
    EXPECT_NEAR(std::accumulate(y.begin(), y.end(), 0.0), 1.0, 1e-5) << length;
  }
}

TEST(RacesTest, SparsemaxInPlace) {
  for (const std::int64_t length : {33, 1030}) {
    for (const double value : rowwise_in_place(ActivationKind::Sparsemax, 1, length)) ASSERT_GE(value, 0.0) << length;
  }
}

TEST(RacesTest, LayerNormalizationInPlace) {
  for (const std::int64_t length : {60, 1100}) {
    Buffer memory(random_values(2 * length, 72), DType::float32);
    const kernels::LayerNormalization args{.src = memory.data(), .dst = memory.data(), .rows = 2, .length = length};
    ASSERT_EQ(kernels::layer_normalization(args, nullptr), cudaSuccess);
    const std::vector<double> y = memory.values();
    EXPECT_NEAR(std::accumulate(y.begin(), y.end(), 0.0), 0.0, 1e-3) << length;
  }
}

TEST(RacesTest, TiledGemm) {
  for (const std::int64_t batch : {2, 17}) {
    Buffer src(std::vector<double>(static_cast<std::size_t>(batch * 70), 1.0), DType::float32);
    Buffer kernel(std::vector<double>(70 * 3, 2.0), DType::float32);
    Buffer dst(batch * 3, DType::float32);
    const kernels::TiledGemm args{{}, DType::float32, src.data(), kernel.data(), nullptr, dst.data(), batch, 70, 3, 3};
    ASSERT_EQ(kernels::tiled_gemm(args, nullptr), cudaSuccess);
    EXPECT_THAT(dst.values(), testing::Each(140.0)) << batch;
  }
}

TEST(RacesTest, SmallBatch) {
  Buffer src(std::vector<double>(3 * 70, 1.0), DType::float32);
  Buffer kernel(std::vector<double>(70 * 12, 2.0), DType::float32, true);
  Buffer dst(3 * 11, DType::float32);
  const kernels::SmallBatch args{{}, DType::float32, src.data(), kernel.data(), nullptr, dst.data(), 3, 70, 11, 12};
  ASSERT_EQ(kernels::small_batch(args, nullptr), cudaSuccess);
  EXPECT_THAT(dst.values(), testing::Each(140.0));
}

TEST(RacesTest, TransposeOfMoreTilesThanOne) {
  std::vector<double> x(40 * 35);
  std::iota(x.begin(), x.end(), 0.0);
  Buffer src(x, DType::float32);
  Buffer dst(40 * 35, DType::float32);
  const kernels::Transpose args{.src = src.data(), .dst = dst.data(), .axes = 2, .shape = {40, 35}, .permutation = {1, 0}};
  ASSERT_EQ(kernels::transpose(args, nullptr), cudaSuccess);
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(dst[i], x[i % 40 * 35 + i / 40]);
}

}  // namespace
}  // namespace lamella::test
