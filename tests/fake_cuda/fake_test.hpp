// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_cuda.hpp"

/// Resets the double for each of its own tests, and gives short names.
class FakeCuda : public testing::Test {
 protected:
  void SetUp() override { fake_cuda::reset(); }
  void TearDown() override { fake_cuda::reset(); }

  static cudaStream_t stream(unsigned flags = cudaStreamNonBlocking) {
    cudaStream_t made = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&made, flags), cudaSuccess);
    return made;
  }
  static cudaEvent_t event() {
    cudaEvent_t made = nullptr;
    EXPECT_EQ(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), cudaSuccess);
    return made;
  }
  template <typename T>
  static T* device(std::size_t elements) {
    void* made = nullptr;
    EXPECT_EQ(cudaMalloc(&made, elements * sizeof(T)), cudaSuccess);
    return static_cast<T*>(made);
  }
  template <typename T>
  static T* upload(const std::vector<T>& values) {
    T* const made = device<T>(values.size());
    const fake_cuda::Access access;
    std::copy(values.begin(), values.end(), made);
    return made;
  }
  template <typename T>
  static T* pinned(std::size_t elements) {
    void* made = nullptr;
    EXPECT_EQ(cudaHostAlloc(&made, elements * sizeof(T), cudaHostAllocDefault), cudaSuccess);
    return static_cast<T*>(made);
  }
  static cudaMemPool_t pool() {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location = {cudaMemLocationTypeDevice, {0}};
    cudaMemPool_t made = nullptr;
    EXPECT_EQ(cudaMemPoolCreate(&made, &properties), cudaSuccess);
    return made;
  }
  template <typename T>
  static std::vector<T> look(const T* data, std::size_t elements) {
    const fake_cuda::Access access;
    return {data, data + elements};
  }
};
