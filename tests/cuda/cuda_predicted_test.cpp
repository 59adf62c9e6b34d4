// SPDX-License-Identifier: Apache-2.0
// The predictions that order the engines of a GPU. Their absolute values are for a GPU to judge; what is held here are the
// relations that they were made from.
#include <algorithm>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/dense/predicted.hpp"

namespace lamella::cuda {
namespace {

const Hardware kH200{};
const Hardware kA100{80, 108, 1.41, 1700};
const Hardware kRtx4090{89, 128, 2.52, 900};

ops::DenseDesc dense(std::int64_t batch, std::int64_t inputs, std::int64_t units, DType dtype = DType::bfloat16) {
  ops::DenseDesc d;
  d.batch = batch;
  d.inputs = inputs;
  d.units = units;
  d.dtype = dtype;
  return d;
}
double two_steps(const ops::DenseDesc& d, const Hardware& on) {
  return predicted_library_us(d, on, false) + predicted_pass_us(d, on);
}

TEST(CudaPredictedTest, NothingIsBelowItsBytesAndMultiplyAdds) {
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float64}) {
    for (const std::int64_t batch : {1, 8, 64, 4096, 65536}) {
      for (const std::int64_t width : {16, 256, 1024, 4096}) {
        const ops::DenseDesc d = dense(batch, width, width, dtype);
        const auto element = static_cast<double>(size_of(dtype));
        const double bytes = element * static_cast<double>(width * width + 2 * batch * width);
        const double most = size_of(dtype) == 2 ? 2048 : dtype == DType::float32 ? 128 : 64;
        const double work = static_cast<double>(batch) * static_cast<double>(width * width);
        const double floor = std::max(bytes / (4300 * 1e3), work / (132 * 1.83e3 * most));
        for (const double us : {predicted_library_us(d, kH200, true), two_steps(d, kH200), predicted_tiled_us(d, kH200)})
          EXPECT_GT(us, floor) << batch << ' ' << width;
        if (size_of(dtype) == 2) {
          EXPECT_GT(predicted_mma_gemm_us(d, kH200), floor);
        }
        if (batch <= 8) {
          EXPECT_GT(predicted_small_batch_us(d, kH200, size_of(dtype) == 2), floor);
        }
      }
    }
  }
}

TEST(CudaPredictedTest, FewRowsAreSmallBatchsAndSoManyThatEachBlockReadsAreNot) {
  for (const std::int64_t width : {64, 1024, 4096}) {
    for (const std::int64_t batch : {1, 8, 32}) {
      const ops::DenseDesc d = dense(batch, width, width);
      const bool own = batch < 32 || width < 4096;
      EXPECT_EQ(predicted_small_batch_us(d, kH200, true) < predicted_library_us(d, kH200, true), own) << batch << ' ' << width;
      EXPECT_LT(predicted_small_batch_us(d, kH200, true), predicted_tiled_us(d, kH200)) << batch << ' ' << width;
    }
  }
}

TEST(CudaPredictedTest, ASeparatePassIsWorthItAboveSoManyInputsOnHopperOnly) {
  EXPECT_LT(predicted_mma_gemm_us(dense(16384, 512, 1024), kH200), two_steps(dense(16384, 512, 1024), kH200));
  EXPECT_GT(predicted_mma_gemm_us(dense(16384, 4096, 1024), kH200), two_steps(dense(16384, 4096, 1024), kH200));
  EXPECT_LT(predicted_mma_gemm_us(dense(16384, 4096, 1024), kRtx4090), two_steps(dense(16384, 4096, 1024), kRtx4090));
}

TEST(CudaPredictedTest, TheTensorCoreProductIsCountedInTheTilesThatItsKernelTakes) {
  // 4 x 33 small blocks are one to each multiprocessor, 5 x 33 are two; large ones are 2 x 17.
  const double one_wave = predicted_mma_gemm_us(dense(128, 100000, 2112), kH200);
  EXPECT_NEAR(predicted_mma_gemm_us(dense(129, 100000, 2112), kH200) / one_wave, 2, 0.05);
  // 65 large blocks for 129 more rows: no longer more of the small ones.
  EXPECT_LT(predicted_mma_gemm_us(dense(513, 100000, 1664), kH200), predicted_mma_gemm_us(dense(384, 100000, 1664), kH200) * 1.2);
}

TEST(CudaPredictedTest, FewBlocksOfTheTensorCoreProductAreTheKernelsForFewRows) {
  ops::DenseDesc d = dense(64, 4096, 1024);
  EXPECT_EQ(predicted_mma_gemm_us(d, kH200), predicted_small_batch_us(d, kH200, true));
  const double divided = predicted_mma_gemm_us(d, kH200);
  d.determinism = Determinism::batch_invariant;
  EXPECT_GT(predicted_mma_gemm_us(d, kH200), 1.2 * divided);
  d = dense(64, 4096, 1025);
  EXPECT_NE(predicted_mma_gemm_us(d, kH200), predicted_small_batch_us(d, kH200, true));
}

TEST(CudaPredictedTest, SixProductsOfPartsAreFasterThanFloat32WhereTensorCoresAre) {
  const ops::DenseDesc d = dense(4096, 1024, 1024, DType::float32);
  EXPECT_LT(predicted_mma_gemm_float32_us(d, kH200), 0.8 * two_steps(d, kH200));
  EXPECT_LT(predicted_mma_gemm_float32_us(d, kA100), 0.6 * two_steps(d, kA100));
  EXPECT_GT(predicted_mma_gemm_float32_us(d, kRtx4090), two_steps(d, kRtx4090));
  const double work = 4096.0 * 1024 * 1024 * 6;
  EXPECT_GT(predicted_mma_gemm_float32_us(d, kH200), work / (132 * 1.83e3 * 2048));
  const ops::DenseDesc few = dense(16, 1024, 1024, DType::float32);
  EXPECT_GT(predicted_mma_gemm_float32_us(few, kH200), predicted_small_batch_us(few, kH200, false));
}

TEST(CudaPredictedTest, TheOwnProductOfFloat32IsLeftToSmallOnes) {
  EXPECT_GT(predicted_tiled_us(dense(4096, 1024, 1024, DType::float32), kH200),
            two_steps(dense(4096, 1024, 1024, DType::float32), kH200));
  EXPECT_LT(predicted_tiled_us(dense(16, 16, 16, DType::float32), kH200), two_steps(dense(16, 16, 16, DType::float32), kH200));
}

ops::StackDesc layers(std::int64_t batch, const std::vector<std::int64_t>& widths) {
  ops::StackDesc d;
  d.batch = batch;
  for (std::size_t n = 1; n < widths.size(); ++n)
    d.layers.push_back({.inputs = widths[n - 1], .units = widths[n], .activation = {}});
  return d;
}

TEST(CudaPredictedTest, AClusterGainsFromDepthUntilItsEightMultiprocessorsReadTooMuch) {
  const auto gain = [](std::int64_t batch, const std::vector<std::int64_t>& widths) {
    const ops::StackDesc d = layers(batch, widths);
    return std::min(predicted_apart_us(d, kH200, true), predicted_stack_us(d, kH200)) - predicted_cluster_us(d, kH200);
  };
  EXPECT_GT(gain(1, {256, 256, 256, 256, 256}), 0);
  EXPECT_GT(gain(1, std::vector<std::int64_t>(9, 256)), gain(1, {256, 256, 256, 256, 256}));
  EXPECT_LT(gain(8, {256, 256, 256, 256, 256}), gain(1, {256, 256, 256, 256, 256}));
  EXPECT_LT(gain(1, {256, 256, 256}), 0);
  EXPECT_LT(gain(1, {1024, 1024, 1024, 1024, 1024}), 0);
  EXPECT_LT(gain(1, {64, 64, 64, 64, 64}), 0);  // stack
}

TEST(CudaPredictedTest, AStackOfNarrowLayersSavesLaunchesAndIsNotBelowItsBytesAndMultiplyAdds) {
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const std::int64_t width : {16, 64, 65, 128}) {
      double before = 0;
      for (std::int64_t batch = 1; batch <= 1 << 18; batch *= 2) {
        ops::StackDesc d = layers(batch, std::vector<std::int64_t>(5, width));
        d.dtype = dtype;
        const double us = predicted_stack_us(d, kH200);
        const double rows = static_cast<double>(batch) * static_cast<double>(width);
        const double work = 4 * rows * static_cast<double>(width) / (132 * 1.83e3 * (dtype == DType::float32 ? 128 : 2048));
        EXPECT_GT(us, work) << width << ' ' << batch;
        EXPECT_GT(us, 2 * rows * static_cast<double>(size_of(dtype)) / 4.3e6) << width << ' ' << batch;
        EXPECT_GE(us, 0.65 * before) << width << ' ' << batch;  // larger tiles begin where they fill half of a large GPU
        if (batch <= 1024) {
          EXPECT_LT(us, (width <= 64 ? 0.75 : 1.05) * predicted_apart_us(d, kH200, true)) << width << ' ' << batch;
        }
        before = us;
      }
    }
  }
}

TEST(CudaPredictedTest, ActivationsWithExponentialsTakeAStackLonger) {
  ops::StackDesc plain = layers(65536, {64, 64, 64});
  ops::StackDesc exponential = plain;
  for (auto& layer : plain.layers) layer.activation.kind = ActivationKind::Relu;
  for (auto& layer : exponential.layers) layer.activation.kind = ActivationKind::Silu;
  EXPECT_GT(predicted_stack_us(exponential, kH200), 1.2 * predicted_stack_us(plain, kH200));
}

TEST(CudaPredictedTest, LayersThatOverlapTakeLessAndNothingIsBelowItsBytes) {
  const ops::StackDesc d = layers(1, {256, 256, 256, 256, 256});
  EXPECT_NEAR(predicted_apart_us(d, kH200, false) - predicted_apart_us(d, kH200, true), 3 * kOverlapSavesUs, 1e-9);
  for (const std::int64_t width : {16, 256, 1024}) {
    for (const std::int64_t batch : {1, 8}) {
      const double bytes = 4.0 * 4 * static_cast<double>(width * width);
      const double of_eight = bytes / (8 * 64 * 1.83e3);
      EXPECT_GT(predicted_cluster_us(layers(batch, std::vector<std::int64_t>(5, width)), kH200), of_eight);
    }
  }
}

ops::QuantizedDenseDesc quantized(std::int64_t batch, std::int64_t width, ops::WeightFormat format, bool quantizes) {
  ops::QuantizedDenseDesc d;
  d.batch = batch;
  d.inputs = d.units = width;
  d.format = format;
  d.quantizes = quantizes;
  return d;
}

TEST(CudaPredictedTest, QuantizedLayersAreNotBelowTheirBytesAndMultiplyAdds) {
  for (const bool quantizes : {false, true}) {
    for (const std::int64_t batch : {1, 8, 64, 4096, 65536}) {
      for (const std::int64_t width : {16, 256, 1024, 4096}) {
        for (const auto format : {ops::WeightFormat::int8, ops::WeightFormat::int4}) {
          const double weights = static_cast<double>(width * width) / (format == ops::WeightFormat::int8 ? 1 : 2);
          const double bytes = weights + 4.0 * static_cast<double>(2 * batch * width);
          const double work = static_cast<double>(batch) * static_cast<double>(width * width);
          const double floor = std::max(bytes / (4300 * 1e3), work / (132 * 1.83e3 * (quantizes ? 4096 : 128)));
          EXPECT_GT(predicted_quantized_us(quantized(batch, width, format, quantizes), kH200), floor) << batch << ' ' << width;
        }
      }
    }
  }
}

TEST(CudaPredictedTest, QuantizedLayersOfFewRowsAreBoundByTheirWeights) {
  const auto us = [](ops::WeightFormat format, bool quantizes, const Hardware& on = kH200) {
    return predicted_quantized_us(quantized(1, 8192, format, quantizes), on);
  };
  EXPECT_LT(us(ops::WeightFormat::int4, true), 0.7 * us(ops::WeightFormat::int8, true));
  EXPECT_GT(us(ops::WeightFormat::int8, true, kA100), 1.5 * us(ops::WeightFormat::int8, true));
  EXPECT_LT(us(ops::WeightFormat::int8, true), 1.5 * us(ops::WeightFormat::int8, false));
  auto grouped = quantized(1, 8192, ops::WeightFormat::int4, false);
  grouped.groups = 64;
  EXPECT_GT(predicted_quantized_us(grouped, kH200), us(ops::WeightFormat::int4, false));
}

TEST(CudaPredictedTest, MoreWorkNeverTakesLess) {
  for (const std::int64_t width : {31, 128, 1000, 4096}) {
    double before = 0;
    for (std::int64_t batch = 1; batch <= 65536; batch *= 2) {
      const double us = predicted_library_us(dense(batch, width, width), kH200, true);
      EXPECT_GE(us, before * 0.85) << batch << ' ' << width;  // where it stops to divide the inputs it may gain a little
      before = us;
    }
  }
}

}  // namespace
}  // namespace lamella::cuda
