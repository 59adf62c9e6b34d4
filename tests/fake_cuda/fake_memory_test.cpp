// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <set>

#include "fake_test.hpp"

using fake_cuda::launch;
using fake_cuda::misuses;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

using FakeMemory = FakeCuda;
using FakeMemoryDeathTest = FakeCuda;

TEST_F(FakeMemoryDeathTest, HostTouchOfDeviceMemoryDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  float* const data = device<float>(1);
  EXPECT_DEATH(*static_cast<volatile float*>(data) = 1, "");
  EXPECT_DEATH(
      {
        const volatile float read = *data;
        static_cast<void>(read);
      },
      "");
}

TEST_F(FakeMemory, IsPoisonedWhenNewAndWhenFreed) {
  double* const data = device<double>(33);
  for (const double value : look(data, 33)) EXPECT_TRUE(std::isnan(value));
  std::fill_n(pinned<float>(3), 3, 1.0F);
  ASSERT_EQ(cudaFree(data), cudaSuccess);
#if !defined(__SANITIZE_ADDRESS__)
  for (const double value : look(data, 33)) EXPECT_TRUE(std::isnan(value));
#endif
  for (const float value : look(pinned<float>(3), 3)) EXPECT_TRUE(std::isnan(value));
}

TEST_F(FakeMemory, IsAlignedAndAddressesAreReusedLate) {
  std::set<void*> seen;
  for (const std::size_t bytes : {1, 3, 7, 31, 33, 127, 129, 1027}) {
    void* const data = device<char>(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 256, 0U);
    EXPECT_TRUE(seen.insert(data).second) << "address reused at once";
    EXPECT_EQ(cudaFree(data), cudaSuccess);
  }
  EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{});
}

TEST_F(FakeMemory, ZeroBytesGiveNull) {
  void* data = this;
  EXPECT_EQ(cudaMalloc(&data, 0), cudaSuccess);
  EXPECT_EQ(data, nullptr);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
}

TEST_F(FakeMemory, RunsOutAndIsAccountedFor) {
  fake_cuda::reset({.memory = 1 << 20});
  std::size_t free = 0;
  std::size_t total = 0;
  void* first = device<char>(1 << 19);
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, std::size_t{1} << 19);
  EXPECT_EQ(total, std::size_t{1} << 20);
  void* second = nullptr;
  EXPECT_EQ(cudaMalloc(&second, (1 << 19) + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 1 << 20), cudaSuccess);
}

TEST_F(FakeMemory, ChurnWrapsAround) {
  fake_cuda::reset({.memory = 1 << 20});
  std::vector<void*> held;
  for (int i = 0; i < 1000; ++i) {
    held.push_back(device<char>(static_cast<std::size_t>(1000 + 977 * i % 300'000)));
    if (held.size() > 2) {
      ASSERT_EQ(cudaFree(held[static_cast<std::size_t>(i) % 3]), cudaSuccess);
      held.erase(held.begin() + i % 3);
    }
  }
  EXPECT_EQ(fake_cuda::live().device_allocations, 2);
  EXPECT_THAT(misuses(), IsEmpty());
}

#if !defined(__SANITIZE_ADDRESS__)
TEST_F(FakeMemory, OverrunIsFoundWhenFreed) {
  for (const int at : {-1, 5, 255}) {
    char* const data = device<char>(5);
    ASSERT_EQ(launch(nullptr, {}, {data}, [=] { data[at] = 0; }), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    ASSERT_EQ(cudaFree(data), cudaSuccess);
    EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("overrun"))) << at;
  }
}
#else
TEST_F(FakeMemoryDeathTest, OverrunDiesUnderAddressSanitizer) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  char* const data = device<char>(5);
  EXPECT_DEATH(
      {
        static_cast<void>(launch(nullptr, {}, {data}, [=] { static_cast<volatile char*>(data)[5] = 0; }));
        static_cast<void>(cudaDeviceSynchronize());
      },
      "use-after-poison");
}
#endif

TEST_F(FakeMemory, DoubleAndForeignFreesAreMisuses) {
  char* const data = device<char>(64);
  EXPECT_EQ(cudaFree(data + 16), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(data), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeAsync(data, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_EQ(cudaFree(data), cudaErrorInvalidValue);
  EXPECT_EQ(misuses().size(), 4U);
}

TEST_F(FakeMemory, PointersKnowTheirDevice) {
  fake_cuda::reset({.devices = 2});
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  char* const data = device<char>(7);
  char* const host = pinned<char>(7);
  int local = 0;
  cudaPointerAttributes is{};
  ASSERT_EQ(cudaPointerGetAttributes(&is, data + 6), cudaSuccess);
  EXPECT_EQ(is.type, cudaMemoryTypeDevice);
  EXPECT_EQ(is.device, 1);
  ASSERT_EQ(cudaPointerGetAttributes(&is, host), cudaSuccess);
  EXPECT_EQ(is.type, cudaMemoryTypeHost);
  ASSERT_EQ(cudaPointerGetAttributes(&is, &local), cudaSuccess);
  EXPECT_EQ(is.type, cudaMemoryTypeUnregistered);
}

TEST_F(FakeMemory, PoolsKeepWhatIsFreedUpToTheirThreshold) {
  fake_cuda::reset({.memory = 1 << 20});
  const cudaStream_t s = stream();
  const cudaMemPool_t from = pool();
  std::uint64_t threshold = 1 << 20;
  ASSERT_EQ(cudaMemPoolSetAttribute(from, cudaMemPoolAttrReleaseThreshold, &threshold), cudaSuccess);
  void* data = nullptr;
  ASSERT_EQ(cudaMallocFromPoolAsync(&data, 1 << 19, from, s), cudaSuccess);
  ASSERT_EQ(cudaFreeAsync(data, s), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(data, s), cudaErrorInvalidValue) << "freed twice";
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&data, (1 << 19) + 1), cudaErrorMemoryAllocation) << "the pool holds it";
  ASSERT_EQ(cudaMemPoolTrimTo(from, 0), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&data, (1 << 19) + 1), cudaSuccess);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("being freed already")));
}

TEST_F(FakeMemory, MemoryOutlivesItsPool) {
  const cudaMemPool_t from = pool();
  EXPECT_EQ(fake_cuda::live().pools, 1);
  void* data = nullptr;
  ASSERT_EQ(cudaMallocFromPoolAsync(&data, 100, from, nullptr), cudaSuccess);
  ASSERT_EQ(cudaMemPoolDestroy(from), cudaSuccess);
  ASSERT_EQ(cudaFreeAsync(data, nullptr), cudaSuccess);
  EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{});
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, total);
}

TEST_F(FakeMemory, LeaksAreCounted) {
  device<float>(3);
  pinned<char>(5);
  stream();
  event();
  const auto live = fake_cuda::live();
  EXPECT_EQ(
      live,
      (fake_cuda::Live{
          .streams = 1, .events = 1, .device_allocations = 1, .device_bytes = 12, .pinned_allocations = 1, .pinned_bytes = 5}));
}

}  // namespace
