// SPDX-License-Identifier: Apache-2.0
// Kernels compiled by nvcc on the test double: their results, and faults planted into the compiled text.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <fake_cuda.hpp>

#include <lamella/dtype.hpp>

#include "kernels/kernels.hpp"
#include "tests/ptx/registry.hpp"

namespace lamella::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class CompiledKernelTest : public testing::Test {
 protected:
  CompiledKernelTest() { fake_cuda::reset({.devices = 2}); }
  ~CompiledKernelTest() override {
    ptx::registry::edit(nullptr);
    fake_cuda::reset();
  }

  static float* device(std::size_t elements) {
    void* made = nullptr;
    EXPECT_EQ(cudaMalloc(&made, elements * sizeof(float)), cudaSuccess);
    return static_cast<float*>(made);
  }
  static float* device(const std::vector<float>& values) {
    float* const made = device(values.size());
    EXPECT_EQ(cudaMemcpy(made, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    return made;
  }
  static cudaStream_t stream() {
    cudaStream_t made = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), cudaSuccess);
    return made;
  }
  static cudaError_t tanh(const float* src, float* dst, std::int64_t n, cudaStream_t on) {
    return kernels::elementwise({ActivationKind::Tanh}, DType::float32, src, dst, n, on);
  }
  static cudaError_t softmax(const float* src, float* dst, std::int64_t n, cudaStream_t on) {
    return kernels::rowwise({ActivationKind::Softmax, DType::float32, src, dst, nullptr, 1, n, 1}, on);
  }
};

TEST_F(CompiledKernelTest, GivesResultsOnceTheStreamHasRun) {
  std::vector<float> values(1027);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 200.0F - 2.0F;
  float* const data = device(values);
  const cudaStream_t s = stream();
  ASSERT_EQ(tanh(data, data, 1027, s), cudaSuccess);
  std::vector<float> got(values.size());
  ASSERT_EQ(cudaMemcpyAsync(got.data(), data, got.size() * sizeof(float), cudaMemcpyDeviceToHost, s), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], std::tanh(values[i]), 1e-6) << i;
  EXPECT_THAT(fake_cuda::misuses(), IsEmpty());
}

TEST_F(CompiledKernelTest, AStoreOutOfBoundsLosesTheDevice) {
  ptx::registry::edit_statements("st.global.f32", ptx::registry::four_bytes_on);
  float* const data = device(std::vector<float>(31, 1.0F));
  ASSERT_EQ(softmax(data, data, 31, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 1), cudaErrorIllegalAddress);
  EXPECT_THAT(fake_cuda::misuses(), Contains(AllOf(HasSubstr("out of bounds"), HasSubstr("line"), HasSubstr("st.global.f32"),
                                                   HasSubstr("124 bytes into allocation"))));
}

TEST_F(CompiledKernelTest, UnwrittenMemoryIsNotRead) {
  float* const data = device(33);
  ASSERT_EQ(cudaMemset(data, 0, 32 * sizeof(float)), cudaSuccess);
  ASSERT_EQ(tanh(data, data, 33, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_THAT(fake_cuda::misuses(), Contains(AllOf(HasSubstr("undefined memory"), HasSubstr("byte 128"))));
}

TEST_F(CompiledKernelTest, MemoryOfAnotherDeviceIsOutOfReach) {
  float* const data = device(std::vector<float>(33, 1.0F));
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_EQ(tanh(data, data, 33, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_THAT(fake_cuda::misuses(), Contains(HasSubstr("out of bounds")));
}

TEST_F(CompiledKernelTest, AMissingBarrierIsARace) {
  const std::vector<float> values(1100, 1.0F);
  for (const bool planted : {false, true}) {
    if (planted) ptx::registry::edit_statements("bar.sync", [](const std::string&) { return ""; });
    float* const data = device(values);
    ASSERT_EQ(softmax(data, data, 1100, nullptr), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), planted ? cudaErrorIllegalAddress : cudaSuccess);
  }
  EXPECT_THAT(fake_cuda::misuses(), Contains(AllOf(HasSubstr("race"), HasSubstr("shared memory"))));
}

/// A kernel uses the memory that it reads and writes, not all that it is given.
TEST_F(CompiledKernelTest, AMissingWaitIsARace) {
  const float* const src = device(std::vector<float>(33, 1.0F));
  float* const a = device(33);
  float* const b = device(33);
  ASSERT_EQ(tanh(src, a, 33, stream()), cudaSuccess);
  ASSERT_EQ(tanh(src, b, 33, stream()), cudaSuccess);
  EXPECT_THAT(fake_cuda::misuses(), IsEmpty());
  ASSERT_EQ(tanh(src, a, 33, stream()), cudaSuccess);
  EXPECT_THAT(fake_cuda::misuses(), Contains(HasSubstr("race on allocation 2")));
}

}  // namespace
}  // namespace lamella::test
