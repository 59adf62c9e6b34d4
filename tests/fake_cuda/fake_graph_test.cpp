// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <thread>

#include <cublasLt.h>

#include "fake_test.hpp"

using fake_cuda::launch;
using fake_cuda::misuses;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

constexpr auto kThreadLocal = cudaStreamCaptureModeThreadLocal;

class FakeGraphs : public FakeCuda {
 protected:
  static cudaGraph_t end(cudaStream_t s, cudaError_t expected = cudaSuccess) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(s, &graph), expected);
    return graph;
  }
  static cudaGraphExec_t instantiate(cudaGraph_t graph) {
    cudaGraphExec_t exec = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    return exec;
  }
};

TEST_F(FakeGraphs, KeepUserObjectsUntilTheLastGraphIsDestroyedAndHasRun) {
  const cudaStream_t s = stream();
  int* const data = device<int>(1);
  int gone = 0;
  int ran = 0;
  cudaUserObject_t object = nullptr;
  ASSERT_EQ(cudaUserObjectCreate(
                &object, &gone, [](void* count) { ++*static_cast<int*>(count); }, 1, cudaUserObjectNoDestructorSync),
            cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  ASSERT_EQ(launch(s, {}, {data}, [&, data] { ++*data, ++ran; }), cudaSuccess);
  cudaStreamCaptureStatus status{};
  cudaGraph_t early = nullptr;
  ASSERT_EQ(cudaStreamGetCaptureInfo(s, &status, nullptr, &early), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  ASSERT_EQ(cudaGraphRetainUserObject(early, object, 1, cudaGraphUserObjectMove), cudaSuccess);
  const cudaGraph_t graph = end(s);
  EXPECT_EQ(graph, early);
  const cudaGraphExec_t exec = instantiate(graph);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, s), cudaSuccess);
  EXPECT_EQ(gone, 0);
  ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(ran, 1);
  ASSERT_EQ(cudaStreamGetCaptureInfo(s, &status, nullptr, &early), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  EXPECT_EQ(cudaGraphRetainUserObject(early, object, 1, cudaGraphUserObjectMove), cudaErrorInvalidValue) << "it was moved";
}

TEST_F(FakeGraphs, ReleaseUserObjectsWhenACaptureFails) {
  const cudaStream_t s = stream();
  int gone = 0;
  cudaUserObject_t object = nullptr;
  ASSERT_EQ(cudaUserObjectCreate(
                &object, &gone, [](void* count) { ++*static_cast<int*>(count); }, 1, cudaUserObjectNoDestructorSync),
            cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  cudaStreamCaptureStatus status{};
  cudaGraph_t early = nullptr;
  ASSERT_EQ(cudaStreamGetCaptureInfo(s, &status, nullptr, &early), cudaSuccess);
  ASSERT_EQ(cudaGraphRetainUserObject(early, object, 1, cudaGraphUserObjectMove), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end(s, cudaErrorStreamCaptureInvalidated), nullptr);
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(fake_cuda::live().graphs, 0);
  static_cast<void>(fake_cuda::take_misuses());
}

TEST_F(FakeGraphs, ReplayWhatWasCaptured) {
  const cudaStream_t s = stream();
  int* const data = device<int>(1);
  int ran = 0;
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(data, 0, sizeof(int), s), cudaSuccess);
  ASSERT_EQ(launch(s, {}, {data}, [&, data] { ++*data, ++ran; }), cudaSuccess);
  cudaStreamCaptureStatus status{};
  ASSERT_EQ(cudaStreamIsCapturing(s, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  const cudaGraph_t graph = end(s);
  const cudaGraphExec_t exec = instantiate(graph);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(ran, 0) << "captured, not run";
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(exec, s), cudaSuccess);
  EXPECT_EQ(ran, 0);
  ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
  EXPECT_EQ(ran, 3);
  EXPECT_THAT(look(data, 1), ElementsAre(1));
  EXPECT_EQ(fake_cuda::live().execs, 1);
  ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaErrorInvalidValue);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("cudaGraphDestroy")));
}

TEST_F(FakeGraphs, UnjoinedStreamsAreRefused) {
  const cudaStream_t s = stream();
  const cudaStream_t t = stream();
  const cudaEvent_t fork = event();
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(fork, s), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(t, fork, 0), cudaSuccess);
  ASSERT_EQ(launch(t, {}, {}, [] {}), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(t), cudaErrorStreamCaptureUnsupported) << "it is in the capture";
  EXPECT_EQ(end(s, cudaErrorStreamCaptureInvalidated), nullptr);

  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(fork, s), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(t, fork, 0), cudaSuccess);
  ASSERT_EQ(launch(t, {}, {}, [] {}), cudaSuccess);
  EXPECT_EQ(end(s, cudaErrorStreamCaptureUnjoined), nullptr);
  EXPECT_EQ(launch(t, {}, {}, [] {}), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(t), cudaSuccess) << "the capture has let go of it";
}

TEST_F(FakeGraphs, CapturedEventsCannotBeQueried) {
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(e, s), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(e), cudaErrorCapturedEvent);
  end(s, cudaErrorStreamCaptureInvalidated);
}

TEST_F(FakeGraphs, BranchesRunInAnyOrderAndAreOrderedWithTheStream) {
  std::set<std::string> orders;
  for (unsigned seed = 0; seed < 40; ++seed) {
    fake_cuda::reset({.seed = seed});
    const cudaStream_t s = stream();
    const cudaStream_t t = stream();
    const cudaEvent_t fork = event();
    const cudaEvent_t join = event();
    int* const data = device<int>(1);
    std::string order;
    const auto add = [&](cudaStream_t on, char name) { return launch(on, {}, {}, [&order, name] { order += name; }); };
    ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
    ASSERT_EQ(launch(s, {}, {data}, [&] { order += 'a'; }), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(fork, s), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(t, fork, 0), cudaSuccess);
    ASSERT_EQ(add(s, 'b'), cudaSuccess);
    ASSERT_EQ(launch(t, {data}, {}, [&] { order += 'c'; }), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(join, t), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(s, join, 0), cudaSuccess);
    const cudaGraphExec_t exec = instantiate(end(s));
    ASSERT_EQ(launch(s, {}, {data}, [&] { order += '<'; }), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(exec, s), cudaSuccess);
    ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    ASSERT_EQ(launch(s, {}, {data}, [&] { order += '>'; }), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(s), cudaSuccess);
    EXPECT_THAT(misuses(), IsEmpty());
    orders.insert(order);
  }
  EXPECT_EQ(orders, (std::set<std::string>{"<abc>", "<acb>"}));
}

TEST_F(FakeGraphs, RaceBetweenBranchesIsReported) {
  const cudaStream_t s = stream();
  const cudaStream_t t = stream();
  const cudaEvent_t fork = event();
  const cudaEvent_t join = event();
  int* const data = device<int>(1);
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(fork, s), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(t, fork, 0), cudaSuccess);
  ASSERT_EQ(launch(s, {}, {data}, [] {}), cudaSuccess);
  ASSERT_EQ(launch(t, {}, {data}, [] {}), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(join, t), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(s, join, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(instantiate(end(s)), s), cudaSuccess);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("race")));
}

TEST_F(FakeGraphs, ReplayAfterFreeIsReported) {
  const cudaStream_t s = stream();
  int* const data = device<int>(1);
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  ASSERT_EQ(launch(s, {data}, {}, [] {}), cudaSuccess);
  const cudaGraphExec_t exec = instantiate(end(s));
  ASSERT_EQ(cudaFree(data), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, s), cudaSuccess);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("use after free")));
}

TEST_F(FakeGraphs, ForbiddenCallsInvalidateTheCapture) {
  void* data = nullptr;
  int word = 0;
  int* const memory = device<int>(1);
  const cudaEvent_t e = event();
  const cudaMemPool_t from = pool();
  const std::vector<std::function<cudaError_t(cudaStream_t)>> forbidden{
      [&](cudaStream_t) { return cudaMalloc(&data, 4); },
      [&](cudaStream_t) { return cudaFree(memory); },
      [&](cudaStream_t) { return cudaHostAlloc(&data, 4, cudaHostAllocDefault); },
      [&](cudaStream_t) { return cudaMemcpy(memory, &word, 4, cudaMemcpyHostToDevice); },
      [&](cudaStream_t) { return cudaDeviceSynchronize(); },
      [&](cudaStream_t s) { return cudaStreamSynchronize(s); },
      [&](cudaStream_t) { return cudaEventSynchronize(e); },
      [&](cudaStream_t s) { return cudaMallocFromPoolAsync(&data, 4, from, s); },
      [&](cudaStream_t s) { return cudaMemcpyAsync(memory, &word, 4, cudaMemcpyHostToDevice, s); },
  };
  for (std::size_t i = 0; i < forbidden.size(); ++i) {
    const cudaStream_t s = stream();
    ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
    EXPECT_EQ(forbidden[i](s), cudaErrorStreamCaptureUnsupported) << i;
    EXPECT_EQ(launch(s, {}, {}, [] {}), cudaErrorStreamCaptureInvalidated) << i;
    end(s, cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(launch(s, {}, {}, [] {}), cudaSuccess) << i;
    EXPECT_EQ(fake_cuda::take_misuses().size(), 1U) << i;
  }
}

TEST_F(FakeGraphs, LegacyStreamBreaksTheCaptureOfABlockingStream) {
  const cudaStream_t s = stream(cudaStreamDefault);
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  EXPECT_EQ(launch(nullptr, {}, {}, [] {}), cudaErrorStreamCaptureImplicit);
  end(s, cudaErrorStreamCaptureInvalidated);
  const cudaStream_t free = stream();
  ASSERT_EQ(cudaStreamBeginCapture(free, kThreadLocal), cudaSuccess);
  EXPECT_EQ(launch(nullptr, {}, {}, [] {}), cudaSuccess);
  EXPECT_NE(end(free), nullptr);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, kThreadLocal), cudaErrorStreamCaptureUnsupported);
}

TEST_F(FakeGraphs, OtherThreadsBreakGlobalCapturesOnly) {
  for (const auto mode : {cudaStreamCaptureModeGlobal, kThreadLocal, cudaStreamCaptureModeRelaxed}) {
    const cudaStream_t s = stream();
    ASSERT_EQ(cudaStreamBeginCapture(s, mode), cudaSuccess);
    cudaError_t answer = cudaSuccess;
    std::thread([&] {
      void* data = nullptr;
      answer = cudaMalloc(&data, 4);
    }).join();
    const bool breaks = mode == cudaStreamCaptureModeGlobal;
    EXPECT_EQ(answer, breaks ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
    end(s, breaks ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
  }
}

TEST_F(FakeGraphs, WaitingForTheDeviceOnAnyThreadEndsCapturesInEveryMode) {
  for (const auto mode : {cudaStreamCaptureModeGlobal, kThreadLocal, cudaStreamCaptureModeRelaxed}) {
    const cudaStream_t s = stream();
    ASSERT_EQ(cudaStreamBeginCapture(s, mode), cudaSuccess);
    cudaError_t answer = cudaSuccess;
    std::thread([&] { answer = cudaDeviceSynchronize(); }).join();
    EXPECT_EQ(answer, cudaErrorStreamCaptureUnsupported);
    end(s, cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  EXPECT_THAT(misuses(), IsEmpty()) << "it may have been the application's";
}

TEST_F(FakeGraphs, LibraryHandlesAreNotDestroyedDuringACapture) {
  const cudaStream_t s = stream();
  cublasLtHandle_t handle = nullptr;
  ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed), cudaSuccess);
  std::thread([&] { EXPECT_EQ(cublasLtDestroy(handle), CUBLAS_STATUS_SUCCESS); }).join();
  end(s, cudaErrorStreamCaptureInvalidated);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("cublasLtDestroy waits for a device")));
}

TEST_F(FakeGraphs, AKernelIsLaunchedBeforeItIsCaptured) {
  const int kernel = 0;
  const cudaStream_t s = stream();
  for (const bool loaded : {false, true}) {
    ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
    EXPECT_EQ(launch(
                  s, {}, {}, [] {}, &kernel),
              loaded ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
    end(s, loaded ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
  }
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("the first launch of a kernel")));
}

TEST_F(FakeGraphs, EndOnlyOnTheirOwnThreadAndStream) {
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaErrorIllegalState);
  std::thread([&] { end(s, cudaErrorStreamCaptureWrongThread); }).join();
  end(stream(), cudaErrorIllegalState);
  EXPECT_NE(end(s), nullptr);
}

TEST_F(FakeGraphs, WaitingForAnEventFromOutside) {
  const cudaStream_t s = stream();
  const cudaEvent_t e = event();
  ASSERT_EQ(cudaEventRecord(e, stream()), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(s, e, 0), cudaErrorStreamCaptureIsolation);
  end(s, cudaErrorStreamCaptureInvalidated);
}

TEST_F(FakeGraphs, ExchangeOfTheThreadsMode) {
  auto mode = cudaStreamCaptureModeRelaxed;
  ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
  EXPECT_EQ(mode, cudaStreamCaptureModeGlobal);
  const cudaStream_t s = stream();
  ASSERT_EQ(cudaStreamBeginCapture(s, kThreadLocal), cudaSuccess);
  device<int>(1);
  EXPECT_NE(end(s), nullptr);
  EXPECT_THAT(misuses(), IsEmpty());
}

}  // namespace
