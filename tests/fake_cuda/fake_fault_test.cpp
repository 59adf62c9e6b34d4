// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include <cublasLt.h>

#include "fake_test.hpp"

using fake_cuda::Fault;
using fake_cuda::launch;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

using FakeFaults = FakeCuda;
using FakeDriver = FakeCuda;

TEST_F(FakeFaults, OnceFailsOneCall) {
  fake_cuda::fail_nth(2, Fault::once);
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, 4), cudaSuccess);
  EXPECT_FALSE(fake_cuda::fault_struck());
  EXPECT_EQ(cudaMalloc(&data, 4), cudaErrorMemoryAllocation);
  EXPECT_TRUE(fake_cuda::fault_struck());
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&data, 4), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(FakeFaults, ForeverFailsAllOfItsKind) {
  fake_cuda::fail_nth(1, Fault::forever);
  void* data = nullptr;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(cudaMalloc(&data, 4), cudaErrorMemoryAllocation);
  cublasLtHandle_t handle = nullptr;
  EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  fake_cuda::no_faults();
  EXPECT_EQ(cudaMalloc(&data, 4), cudaSuccess);
}

TEST_F(FakeFaults, ByName) {
  fake_cuda::fail_nth("cudaEventRecord", 2, Fault::once);
  const cudaEvent_t e = event();
  EXPECT_EQ(cudaEventRecord(e, nullptr), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(e, nullptr), cudaErrorUnknown);
  EXPECT_EQ(cudaEventRecord(e, nullptr), cudaSuccess);
}

TEST_F(FakeFaults, AFailingFreeStillFrees) {
  int* const data = device<int>(1);
  const cudaStream_t s = stream();
  fake_cuda::fail_nth(1, Fault::once);
  EXPECT_EQ(cudaFree(data), cudaErrorUnknown);
  fake_cuda::fail_nth(1, Fault::once);
  EXPECT_EQ(cudaStreamDestroy(s), cudaErrorUnknown);
  EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{});
}

TEST_F(FakeFaults, StickyErrorsStay) {
  int* const data = device<int>(1);
  fake_cuda::fail_nth(2, Fault::sticky);
  int ran = 0;
  EXPECT_EQ(launch(nullptr, {}, {}, [&] { ++ran; }), cudaSuccess);
  EXPECT_EQ(launch(nullptr, {}, {}, [&] { ++ran; }), cudaErrorIllegalAddress);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  cublasLtHandle_t handle = nullptr;
  EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(cudaFree(data), cudaErrorIllegalAddress);
}

TEST_F(FakeFaults, LateErrorsAppearAtTheNextSynchronisation) {
  fake_cuda::fail_nth(1, Fault::late);
  EXPECT_EQ(launch(nullptr, {}, {}, [] {}), cudaSuccess);
  EXPECT_EQ(launch(nullptr, {}, {}, [] {}), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorIllegalAddress);
  EXPECT_EQ(launch(nullptr, {}, {}, [] {}), cudaErrorIllegalAddress);
}

TEST_F(FakeFaults, CallsAreCountedAndNamed) {
  device<int>(1);
  const auto before = fake_cuda::calls();
  fake_cuda::clear_call_log();
  static_cast<void>(launch(nullptr, {}, {}, [] {}));
  static_cast<void>(cudaDeviceSynchronize());
  static_cast<void>(cudaGetLastError());
  EXPECT_EQ(fake_cuda::calls() - before, 2U);
  EXPECT_THAT(fake_cuda::call_log(), ElementsAre("kernel", "cudaDeviceSynchronize"));
  EXPECT_EQ(fake_cuda::count_calls("cudaMalloc"), 0U);
}

TEST_F(FakeFaults, PendingErrorsOfOthersAreKept) {
  fake_cuda::set_last_error(cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nullptr, {}, {}, [] {}), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
}

TEST_F(FakeFaults, HookSeesCallsAndMayCall) {
  std::vector<std::string> seen;
  bool nested = false;
  fake_cuda::on_call([&](std::string_view name) {
    seen.emplace_back(name);
    if (std::exchange(nested, true)) return;
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  });
  EXPECT_EQ(launch(nullptr, {}, {}, [] {}), cudaSuccess);
  EXPECT_THAT(seen, ElementsAre("kernel", "cudaDeviceSynchronize"));
}

TEST_F(FakeDriver, StatesOfTheDriver) {
  struct Case {
    int version;
    cudaError_t error;
  };
  for (const auto& [version, error] : {Case{0, cudaErrorInsufficientDriver}, Case{12000, cudaErrorInsufficientDriver},
                                       Case{13000, cudaErrorNoDevice}, Case{13000, cudaErrorSystemDriverMismatch},
                                       Case{13000, cudaErrorCompatNotSupportedOnDevice}, Case{13000, cudaErrorUnknown}}) {
    fake_cuda::reset({.driver_version = version, .driver_error = error});
    int seen = -1;
    EXPECT_EQ(cudaDriverGetVersion(&seen), cudaSuccess);
    EXPECT_EQ(seen, version);
    EXPECT_EQ(cudaGetDeviceCount(&seen), error);
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(cudaSetDevice(0), error);
    cublasLtHandle_t handle = nullptr;
    EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_NOT_INITIALIZED);
  }
}

TEST_F(FakeDriver, NumberOfDevices) {
  for (const int devices : {1, 2, 8}) {
    fake_cuda::reset({.devices = devices});
    int count = 0;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(count, devices);
  }
  fake_cuda::reset({.devices = 0});
  int count = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
}

TEST_F(FakeDriver, ContextsAreMadeOnDemand) {
  fake_cuda::reset({.devices = 2});
  int count = 0;
  ASSERT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_TRUE(fake_cuda::contexts().empty());
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(fake_cuda::contexts(), std::set<int>{1});
  device<int>(1);
  EXPECT_EQ(fake_cuda::contexts(), std::set<int>{1});
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(fake_cuda::contexts(), (std::set<int>{0, 1}));
}

TEST_F(FakeDriver, StreamHandlesAreReusedAndIdsAreNot) {
  const cudaStream_t first = stream();
  unsigned long long ids[2] = {};
  ASSERT_EQ(cudaStreamGetId(first, &ids[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(first), cudaSuccess);
  const cudaStream_t second = stream();
  EXPECT_EQ(first, second);
  ASSERT_EQ(cudaStreamGetId(second, &ids[1]), cudaSuccess);
  EXPECT_NE(ids[0], ids[1]);
  for (auto& id : ids) std::thread([&] { EXPECT_EQ(cudaStreamGetId(cudaStreamPerThread, &id), cudaSuccess); }).join();
  EXPECT_NE(ids[0], ids[1]);
}

TEST_F(FakeDriver, UnloadedRuntime) {
  fake_cuda::unload();
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorCudartUnloading);
}

TEST_F(FakeDriver, ForkedChildHasNoContext) {
  const pid_t child = fork();
  if (child == 0) _exit(cudaDeviceSynchronize() == cudaErrorInitializationError ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
