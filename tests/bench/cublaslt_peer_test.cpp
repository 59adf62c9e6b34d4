// SPDX-License-Identifier: Apache-2.0
// The hand-written peer on the test double: its answers are right and it breaks no rule of CUDA. None of this ran on a GPU.
#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "bench/peers/cublaslt/mlp.hpp"
#include "fake_cuda.hpp"
#include "plain_on_double.hpp"

namespace peer {

namespace {

constexpr std::int64_t kWidth = 24;

std::vector<float> random_values(std::size_t count, double scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(normal(random));
  return values;
}

std::vector<float> weights_of(int depth) {
  return random_values(static_cast<std::size_t>(depth) * kWidth * (kWidth + 1), 1 / std::sqrt(kWidth), 1);
}

/// In float64.
std::vector<double> truth(const std::vector<float>& weights, const Settings& settings, const std::vector<float>& x) {
  std::vector<double> at(x.begin(), x.end());
  const auto width = static_cast<std::size_t>(settings.width);
  const float* kernel = weights.data();
  for (int layer = 0; layer < settings.depth; ++layer, kernel += width * width + width) {
    std::vector<double> next(at.size());
    for (std::size_t row = 0; row < at.size() / width; ++row) {
      for (std::size_t unit = 0; unit < width; ++unit) {
        double sum = static_cast<double>(kernel[width * width + unit]);
        for (std::size_t k = 0; k < width; ++k) sum += at[row * width + k] * static_cast<double>(kernel[k * width + unit]);
        next[row * width + unit] = applied(sum, settings.activation);
      }
    }
    at = next;
  }
  return at;
}

void expect_answer(const Settings& settings, std::size_t batch, double allowed) {
  const std::vector<float> weights = weights_of(settings.depth);
  const std::vector<float> x = random_values(batch * kWidth, 1, 2);
  Mlp mlp(weights, settings);
  for (int again = 0; again < 2; ++again) {  // first prepared, then replayed as a graph
    mlp.prepare(x);
    const std::vector<double> wanted = truth(weights, settings, x);
    std::vector<float> found = mlp.answer();
    found = mlp.answer();
    ASSERT_EQ(found.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(static_cast<double>(found[i]), wanted[i], allowed) << i;
  }
  const Times times = mlp.time(5, 2);
  EXPECT_LE(times.min_us, times.median_us);
}

TEST(CublasLtPeer, AgreesWithFloat64InEveryActivationGraphAndType) {
  for (const Activation activation : {Activation::relu, Activation::gelu_tanh, Activation::gelu, Activation::tanh}) {
    for (const bool graph : {false, true}) {
      for (const auto& [type, allowed] :
           {std::pair(Type::float32, 1e-5), std::pair(Type::bfloat16, 0.1), std::pair(Type::float16, 0.02)}) {
        for (const int depth : {1, 2, 3}) {
          fake_cuda::reset();
          expect_answer({.width = kWidth, .depth = depth, .activation = activation, .type = type, .graph = graph}, 7, allowed);
          EXPECT_THAT(fake_cuda::misuses(), ::testing::IsEmpty());
          EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{});
        }
      }
    }
  }
}

TEST(CublasLtPeer, UsesTheLibrarysEpilogueIfThereIsOneElseAPlainKernel) {
  for (const auto& [activation, fused, kernels] :
       {std::tuple(Activation::relu, "bias+relu", 0U), std::tuple(Activation::gelu_tanh, "bias+gelu_tanh", 0U),
        std::tuple(Activation::gelu, "bias", 3U), std::tuple(Activation::tanh, "bias", 3U)}) {
    fake_cuda::reset();
    Mlp mlp(weights_of(3), {.width = kWidth, .depth = 3, .activation = activation});
    mlp.prepare(random_values(kWidth, 1, 2));
    fake_cuda::clear_call_log();
    mlp.run();
    EXPECT_EQ(fake_cuda::count_calls("cublasLtMatmul"), 3U);
    EXPECT_EQ(fake_cuda::count_calls("kernel"), kernels);
    EXPECT_EQ(mlp.fused(), fused);
  }
}

TEST(CublasLtPeer, RoundsToTensorFloat32OnlyOnRequest) {
  const std::vector<float> weights = weights_of(1);
  const std::vector<float> x = random_values(5 * kWidth, 1, 2);
  double worst[2] = {};
  for (const bool tf32 : {false, true}) {
    fake_cuda::reset();
    const Settings settings{.width = kWidth, .depth = 1, .tf32 = tf32};
    Mlp mlp(weights, settings);
    mlp.prepare(x);
    const std::vector<float> found = mlp.answer();
    const std::vector<double> wanted = truth(weights, settings, x);
    for (std::size_t i = 0; i < wanted.size(); ++i)
      worst[tf32 ? 1 : 0] = std::max(worst[tf32 ? 1 : 0], std::fabs(static_cast<double>(found[i]) - wanted[i]));
  }
  EXPECT_LT(worst[0], 1e-5);
  EXPECT_GT(worst[1], 1e-5);
  EXPECT_LT(worst[1], 1e-2);
}

TEST(CublasLtPeer, ReplaysOneGraphPerCall) {
  fake_cuda::reset();
  Mlp mlp(weights_of(3), {.width = kWidth, .depth = 3, .activation = Activation::tanh, .graph = true});
  mlp.prepare(random_values(kWidth, 1, 2));
  fake_cuda::clear_call_log();
  mlp.run();
  EXPECT_THAT(fake_cuda::call_log(), ::testing::ElementsAre("cudaGraphLaunch"));
}

TEST(CublasLtPeer, SaysWhatFailed) {
  fake_cuda::reset();
  EXPECT_THROW(Mlp(std::vector<float>(3), {.width = kWidth}), std::runtime_error);
  Mlp mlp(weights_of(1), {.width = kWidth});
  EXPECT_THROW(mlp.prepare(std::vector<float>(kWidth + 1)), std::runtime_error);
  fake_cuda::fail_nth("cublasLtMatmul", 1, fake_cuda::Fault::once);
  try {
    mlp.prepare(random_values(kWidth, 1, 2));
    FAIL() << "it did not throw";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("cublasLtMatmul: "));
  }
}

}  // namespace
}  // namespace peer
