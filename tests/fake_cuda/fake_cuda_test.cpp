// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <thread>

#include "fake_test.hpp"

using fake_cuda::launch;
using fake_cuda::misuses;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

using FakeStreams = FakeCuda;
using FakeRaces = FakeCuda;
using FakeDevices = FakeCuda;

TEST_F(FakeStreams, NothingRunsBeforeASynchronisation) {
  const cudaStream_t s = stream();
  int ran = 0;
  ASSERT_EQ(launch(s, {}, {}, [&] { ++ran; }), cudaSuccess);
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(fake_cuda::executed(), 0U);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_EQ(ran, 1);
}

TEST_F(FakeStreams, EagerRunsAtOnce) {
  fake_cuda::reset({.eager = true});
  int ran = 0;
  ASSERT_EQ(launch(nullptr, {}, {}, [&] { ++ran; }), cudaSuccess);
  EXPECT_EQ(ran, 1);
}

TEST_F(FakeStreams, SeedsGiveDifferentLegalOrders) {
  std::set<std::string> orders;
  for (unsigned seed = 0; seed < 200; ++seed) {
    fake_cuda::reset({.seed = seed});
    const cudaStream_t a = stream();
    const cudaStream_t b = stream();
    std::string order;
    for (const char c : {'a', 'b', 'c'}) ASSERT_EQ(launch(a, {}, {}, [&order, c] { order += c; }), cudaSuccess);
    for (const char c : {'x', 'y'}) ASSERT_EQ(launch(b, {}, {}, [&order, c] { order += c; }), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_LT(order.find('a'), order.find('b'));
    EXPECT_LT(order.find('b'), order.find('c'));
    EXPECT_LT(order.find('x'), order.find('y'));
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 10U) << "not all interleavings of 3 and 2";
}

TEST_F(FakeStreams, EventsOrderStreams) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    fake_cuda::reset({.seed = seed});
    const cudaStream_t a = stream();
    const cudaStream_t b = stream();
    const cudaEvent_t e = event();
    std::string order;
    ASSERT_EQ(cudaStreamWaitEvent(b, e, 0), cudaSuccess) << "never recorded: no wait";
    ASSERT_EQ(launch(a, {}, {}, [&] { order += 'a'; }), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(e, a), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(b, e, 0), cudaSuccess);
    ASSERT_EQ(launch(b, {}, {}, [&] { order += 'b'; }), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(b), cudaSuccess);
    EXPECT_EQ(order, "ab");
  }
}

TEST_F(FakeStreams, LegacyStreamOrdersBlockingStreamsOnly) {
  std::set<std::string> orders;
  for (unsigned seed = 0; seed < 60; ++seed) {
    fake_cuda::reset({.seed = seed});
    const cudaStream_t blocking = stream(cudaStreamDefault);
    const cudaStream_t free = stream();
    std::string order;
    ASSERT_EQ(launch(blocking, {}, {}, [&] { order += '1'; }), cudaSuccess);
    ASSERT_EQ(launch(free, {}, {}, [&] { order += 'f'; }), cudaSuccess);
    ASSERT_EQ(launch(nullptr, {}, {}, [&] { order += '2'; }), cudaSuccess);
    ASSERT_EQ(launch(blocking, {}, {}, [&] { order += '3'; }), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_LT(order.find('1'), order.find('2'));
    EXPECT_LT(order.find('2'), order.find('3'));
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 4U);
}

TEST_F(FakeStreams, QueriesSayNotReadyUntilTheWorkIsDone) {
  bool waited = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    fake_cuda::reset({.seed = seed});
    const cudaStream_t s = stream();
    const cudaEvent_t e = event();
    ASSERT_EQ(launch(s, {}, {}, [] {}), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(e, s), cudaSuccess);
    cudaError_t answer = cudaEventQuery(e);
    for (int i = 0; i < 1000 && answer == cudaErrorNotReady; ++i) {
      waited = true;
      answer = cudaEventQuery(e);
    }
    EXPECT_EQ(answer, cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(s), cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
  EXPECT_TRUE(waited);
}

TEST_F(FakeStreams, HostFunctionsMayNotCallCuda) {
  cudaError_t answer = cudaSuccess;
  ASSERT_EQ(cudaLaunchHostFunc(
                nullptr, [](void* to) { *static_cast<cudaError_t*>(to) = cudaDeviceSynchronize(); }, &answer),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(answer, cudaErrorNotPermitted);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("from a host function")));
}

TEST_F(FakeStreams, DestroyedStreamsFinishTheirWork) {
  const cudaStream_t s = stream();
  int ran = 0;
  ASSERT_EQ(launch(s, {}, {}, [&] { ++ran; }), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(s), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(misuses().size(), 2U);
}

TEST_F(FakeStreams, PinnedSourcesAreReadLateAndPageableOnesAtOnce) {
  const cudaStream_t s = stream();
  int* const to = device<int>(2);
  int* const source = pinned<int>(1);
  int pageable = *source = 1;
  ASSERT_EQ(cudaMemcpyAsync(to, source, sizeof(int), cudaMemcpyHostToDevice, s), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(to + 1, &pageable, sizeof(int), cudaMemcpyDefault, s), cudaSuccess);
  *source = pageable = 2;
  int back[2] = {};
  ASSERT_EQ(cudaMemcpyAsync(back, to, sizeof back, cudaMemcpyDeviceToHost, s), cudaSuccess);
  EXPECT_THAT(back, ElementsAre(2, 1)) << "a copy to pageable memory must wait";
  EXPECT_THAT(misuses(), IsEmpty());
}

TEST_F(FakeStreams, CopiesRowsAndFills) {
  const std::vector<int> rows{1, 2, 3, 4, 5, 6};
  int* const to = device<int>(8);
  ASSERT_EQ(cudaMemsetAsync(to, 0, 8 * sizeof(int), nullptr), cudaSuccess);
  ASSERT_EQ(
      cudaMemcpy2DAsync(to, 4 * sizeof(int), rows.data(), 3 * sizeof(int), 2 * sizeof(int), 2, cudaMemcpyHostToDevice, nullptr),
      cudaSuccess);
  std::vector<int> back(8);
  ASSERT_EQ(cudaMemcpy(back.data(), to, 8 * sizeof(int), cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_THAT(back, ElementsAre(1, 2, 0, 0, 4, 5, 0, 0));
}

TEST_F(FakeStreams, CopiesOutsideAnAllocationAreRefused) {
  int* const to = device<int>(2);
  const int from[3] = {};
  EXPECT_EQ(cudaMemcpyAsync(to, from, sizeof from, cudaMemcpyHostToDevice, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(to, from, 4, cudaMemcpyDeviceToHost, nullptr), cudaErrorInvalidValue);
  ASSERT_EQ(cudaFree(to), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(to, 0, 4, nullptr), cudaErrorInvalidValue);
  EXPECT_THAT(misuses(),
              ElementsAre(HasSubstr("beyond the end"), HasSubstr("does not fit its pointers"), HasSubstr("not into live")));
}

TEST_F(FakeRaces, AMissingWaitIsReportedEvenIfTheValueIsRight) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    for (const bool wait : {false, true}) {
      fake_cuda::reset({.seed = seed});
      const cudaStream_t a = stream();
      const cudaStream_t b = stream();
      const cudaEvent_t e = event();
      int* const data = device<int>(1);
      ASSERT_EQ(launch(a, {}, {data}, [=] { *data = 7; }), cudaSuccess);
      ASSERT_EQ(cudaEventRecord(e, a), cudaSuccess);
      if (wait) {
        ASSERT_EQ(cudaStreamWaitEvent(b, e, 0), cudaSuccess);
      }
      ASSERT_EQ(launch(b, {data}, {}, [] {}), cudaSuccess);
      if (wait)
        EXPECT_THAT(misuses(), IsEmpty());
      else
        EXPECT_THAT(misuses(), ElementsAre(AllOf(HasSubstr("race"), HasSubstr("allocation 1")))) << seed;
    }
  }
}

TEST_F(FakeRaces, ReadsDoNotRaceWithReads) {
  int* const data = device<int>(1);
  ASSERT_EQ(launch(stream(), {data}, {}, [] {}), cudaSuccess);
  ASSERT_EQ(launch(stream(), {data}, {}, [] {}), cudaSuccess);
  EXPECT_THAT(misuses(), IsEmpty());
}

TEST_F(FakeRaces, HostSynchronisationOrders) {
  int* const data = device<int>(1);
  const cudaStream_t a = stream();
  ASSERT_EQ(launch(a, {}, {data}, [] {}), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(a), cudaSuccess);
  ASSERT_EQ(launch(stream(), {}, {data}, [] {}), cudaSuccess);
  EXPECT_THAT(misuses(), IsEmpty());
}

TEST_F(FakeRaces, FreeingUnorderedWithAUseIsReported) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    fake_cuda::reset({.seed = seed});
    const cudaStream_t a = stream();
    const cudaStream_t b = stream();
    void* data = nullptr;
    ASSERT_EQ(cudaMallocFromPoolAsync(&data, 4, pool(), a), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(a), cudaSuccess);
    ASSERT_EQ(launch(b, {data}, {}, [] {}), cudaSuccess);
    ASSERT_EQ(cudaFreeAsync(data, a), cudaSuccess);
    EXPECT_THAT(misuses(), Contains(HasSubstr("unordered"))) << seed;
  }
}

TEST_F(FakeRaces, UseBeforeTheAllocationOnAnotherStream) {
  void* data = nullptr;
  ASSERT_EQ(cudaMallocFromPoolAsync(&data, 4, pool(), stream()), cudaSuccess);
  ASSERT_EQ(launch(stream(), {}, {data}, [] {}), cudaSuccess);
  EXPECT_THAT(misuses(), Contains(HasSubstr("cudaMallocFromPoolAsync")));
}

TEST_F(FakeRaces, FreeWithoutHavingWaited) {
  int* const data = device<int>(1);
  int* const host = pinned<int>(1);
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaMemcpyAsync(data, host, 4, cudaMemcpyHostToDevice, s), cudaSuccess);
  ASSERT_EQ(cudaFree(data), cudaSuccess);
  ASSERT_EQ(cudaFreeHost(host), cudaSuccess);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("without having waited"), HasSubstr("cudaFreeHost of pinned")));
}

TEST_F(FakeRaces, BlockingCopyFromPageableMemoryIsNotOrderedWithOtherStreams) {
  int* const data = device<int>(1);
  const int value = 1;
  ASSERT_EQ(cudaMemcpy(data, &value, 4, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(launch(stream(), {data}, {}, [] {}), cudaSuccess);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("race")));
}

TEST_F(FakeDevices, TheCurrentDeviceBelongsToTheThread) {
  fake_cuda::reset({.devices = 8});
  ASSERT_EQ(cudaSetDevice(7), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(8), cudaErrorInvalidDevice);
  int other = -1;
  std::thread([&] { static_cast<void>(cudaGetDevice(&other)); }).join();
  EXPECT_EQ(other, 0);
  int own = -1;
  ASSERT_EQ(cudaGetDevice(&own), cudaSuccess);
  EXPECT_EQ(own, 7);
}

TEST_F(FakeDevices, KernelsNeedTheDeviceOfTheirStreamAndMemory) {
  fake_cuda::reset({.devices = 2});
  const cudaStream_t s = stream();
  int* const data = device<int>(1);
  const cudaEvent_t e = event();
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(launch(s, {}, {}, [] {}), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(e, stream()), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(launch(stream(), {data}, {}, [] {}), cudaSuccess);
  EXPECT_EQ(misuses().size(), 3U);
}

TEST_F(FakeDevices, PropertiesAndNames) {
  fake_cuda::reset({.compute_capability = 121});
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(properties.major, 12);
  EXPECT_EQ(properties.minor, 1);
  int major = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
  EXPECT_EQ(major, 12);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorSystemDriverMismatch), "cudaErrorSystemDriverMismatch");
}

}  // namespace
