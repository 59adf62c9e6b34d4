// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <cudnn.h>

#include "fake_test.hpp"
#include "numbers.hpp"

using fake_cuda::misuses;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

class FakeDnn : public FakeCuda {
 protected:
  void SetUp() override {
    FakeCuda::SetUp();
    ASSERT_EQ(cudnnCreate(&handle_), CUDNN_STATUS_SUCCESS);
    ASSERT_EQ(cudnnSetStream(handle_, stream_ = stream()), CUDNN_STATUS_SUCCESS);
  }
  cudnnTensorDescriptor_t tensor(int n, int c, int h, int w, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    cudnnTensorDescriptor_t made = nullptr;
    EXPECT_EQ(cudnnCreateTensorDescriptor(&made), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnSetTensor4dDescriptor(made, CUDNN_TENSOR_NCHW, type, n, c, h, w), CUDNN_STATUS_SUCCESS);
    return made;
  }
  template <typename T>
  std::vector<T> activate(cudnnActivationMode_t mode, cudnnNanPropagation_t nan, double coefficient, std::vector<T> x,
                          cudnnDataType_t type) {
    cudnnActivationDescriptor_t how = nullptr;
    EXPECT_EQ(cudnnCreateActivationDescriptor(&how), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnSetActivationDescriptor(how, mode, nan, coefficient), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnSetActivationDescriptorSwishBeta(how, 1.5), CUDNN_STATUS_SUCCESS);
    const auto desc = tensor(1, static_cast<int>(x.size()), 1, 1, type);
    T* const data = upload<T>(x);
    const double one64 = 1, zero64 = 0;
    const float one = 1, zero = 0;
    const bool f64 = type == CUDNN_DATA_DOUBLE;
    EXPECT_EQ(cudnnActivationForward(handle_, how, f64 ? static_cast<const void*>(&one64) : &one, desc, data,
                                     f64 ? static_cast<const void*>(&zero64) : &zero, desc, data),
              CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnDestroyActivationDescriptor(how), CUDNN_STATUS_SUCCESS) << "before the work has run";
    EXPECT_EQ(cudnnDestroyTensorDescriptor(desc), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return look(data, x.size());
  }
  cudnnHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

TEST_F(FakeDnn, Activations) {
  struct Case {
    cudnnActivationMode_t mode;
    double coefficient;
    double (*truth)(double);
  };
  const std::vector<double> x{-3, -1, -0.5, 0, 0.25, 1, 7};
  for (const auto& [mode, coefficient, truth] :
       {Case{CUDNN_ACTIVATION_SIGMOID, 0, [](double v) { return 1 / (1 + std::exp(-v)); }},
        Case{CUDNN_ACTIVATION_RELU, 0, [](double v) { return v > 0 ? v : 0; }},
        Case{CUDNN_ACTIVATION_TANH, 0, [](double v) { return 1 - 2 / (std::exp(2 * v) + 1); }},
        Case{CUDNN_ACTIVATION_CLIPPED_RELU, 6, [](double v) { return v < 0   ? 0
                                                                     : v > 6 ? 6
                                                                             : v; }},
        Case{CUDNN_ACTIVATION_ELU, 2, [](double v) { return v > 0 ? v : 2 * (std::exp(v) - 1); }},
        Case{CUDNN_ACTIVATION_SWISH, 0, [](double v) { return v / (1 + std::exp(-1.5 * v)); }}}) {
    const auto f64 = activate<double>(mode, CUDNN_PROPAGATE_NAN, coefficient, x, CUDNN_DATA_DOUBLE);
    const auto f32 = activate<float>(mode, CUDNN_PROPAGATE_NAN, coefficient, {x.begin(), x.end()}, CUDNN_DATA_FLOAT);
    std::vector<std::uint16_t> half;
    for (const double value : x) half.push_back(fake_cuda::inside::to_float16(value));
    const auto f16 = activate<std::uint16_t>(mode, CUDNN_PROPAGATE_NAN, coefficient, half, CUDNN_DATA_HALF);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(f64[i], truth(x[i]), 1e-14) << mode << ' ' << x[i];
      EXPECT_NEAR(f32[i], truth(x[i]), 2e-6) << mode << ' ' << x[i];
      EXPECT_NEAR(fake_cuda::inside::from_float16(f16[i]), truth(x[i]), 4e-3) << mode << ' ' << x[i];
    }
  }
  EXPECT_THAT(misuses(), IsEmpty());
}

TEST_F(FakeDnn, ReluPassesNanOnlyWhenAsked) {
  const float nan = std::nanf("");
  EXPECT_TRUE(std::isnan(activate<float>(CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0, {nan}, CUDNN_DATA_FLOAT)[0]));
  EXPECT_EQ(activate<float>(CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0, {nan}, CUDNN_DATA_FLOAT)[0], 0);
}

TEST_F(FakeDnn, Softmax) {
  std::vector<double> x;
  for (int i = 0; i < 2 * 3 * 2; ++i) x.push_back(std::sin(5.0 * i));
  const auto desc = tensor(2, 3, 2, 1, CUDNN_DATA_DOUBLE);
  const double one = 1, zero = 0;
  for (const auto mode : {CUDNN_SOFTMAX_MODE_INSTANCE, CUDNN_SOFTMAX_MODE_CHANNEL}) {
    for (const auto algorithm : {CUDNN_SOFTMAX_FAST, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_LOG}) {
      double* const data = upload(x);
      ASSERT_EQ(cudnnSoftmaxForward(handle_, algorithm, mode, &one, desc, data, &zero, desc, data), CUDNN_STATUS_SUCCESS);
      ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
      const auto y = look(data, x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        double sum = 0;
        for (std::size_t j = i / 6 * 6; j < i / 6 * 6 + 6; ++j) {
          if (mode == CUDNN_SOFTMAX_MODE_INSTANCE || j % 2 == i % 2) sum += std::exp(x[j]);
        }
        const double truth = std::exp(x[i]) / sum;
        EXPECT_NEAR(y[i], algorithm == CUDNN_SOFTMAX_LOG ? std::log(truth) : truth, 1e-14);
      }
    }
  }
}

TEST_F(FakeDnn, OnlyFastSoftmaxOverflows) {
  const auto desc = tensor(1, 2, 1, 1);
  const float one = 1, zero = 0;
  for (const bool fast : {false, true}) {
    float* const data = upload<float>({1000, 1000});
    ASSERT_EQ(cudnnSoftmaxForward(handle_, fast ? CUDNN_SOFTMAX_FAST : CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_INSTANCE, &one,
                                  desc, data, &zero, desc, data),
              CUDNN_STATUS_SUCCESS);
    ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    EXPECT_EQ(std::isnan(look(data, 2)[0]), fast);
  }
}

TEST_F(FakeDnn, StridesAndObjectsAreChecked) {
  cudnnTensorDescriptor_t desc = tensor(2, 3, 1, 1);
  float* const data = upload<float>({1, 2, 3, 4, 5});  // one fewer than 2 * 3
  const float one = 1, zero = 0;
  const auto softmax = [&] {
    return cudnnSoftmaxForward(handle_, CUDNN_SOFTMAX_LOG, CUDNN_SOFTMAX_MODE_INSTANCE, &one, desc, data, &zero, desc, data);
  };
  EXPECT_EQ(softmax(), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnDestroyTensorDescriptor(desc), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cudnnDestroyTensorDescriptor(desc), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnDestroy(handle_), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(softmax(), CUDNN_STATUS_NOT_INITIALIZED);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("beyond the end"), HasSubstr("descriptor"), HasSubstr("handle")));
  EXPECT_EQ(fake_cuda::live().handles, 0);
}

TEST_F(FakeDnn, AHandleIsNotDestroyedBesideACapture) {
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudnnDestroy(handle_), CUDNN_STATUS_SUCCESS);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_THAT(misuses(), testing::Contains(HasSubstr("cudnnDestroy waits for a device")));
}

}  // namespace
