// SPDX-License-Identifier: Apache-2.0
// Rules that a driver enforces and a lenient test double would not: handles that are reused, waits that end captures, contexts on
// devices that were not asked for, CUDA unloaded before its users.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <thread>

#include <cublasLt.h>

#include "cuda/cuda_support.hpp"

namespace lamella::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class CudaDriverRulesTest : public CudaTest {
 protected:
  static cudaStream_t new_stream() {
    cudaStream_t stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    return stream;
  }
  static std::vector<float> wanted(const Tensor& x) {
    return values_of(model_of(small_spec(), {.device = Device::cpu()}).predict(x));
  }
  static Tensor result() { return Tensor({4, 5}, DType::float32, Device::cuda(0)); }
  static std::string message(const std::function<void()>& call, ErrorCode code) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
  }
};

TEST_F(CudaDriverRulesTest, AStreamThatReusesAHandleWaitsForTheOldStreamsWork) {
  for (unsigned seed = 0; seed < 8; ++seed) {
    restart_cuda({.seed = seed});
    const Tensor hosts[2] = {random_rows(4, 7, 1), random_rows(4, 7, 2)};
    {
      const Model model = model_of(small_spec(), on_cuda());
      const Tensor xs[2] = {hosts[0].to(Device::cuda(0)), hosts[1].to(Device::cuda(0))};
      Tensor ys[2] = {result(), result()};
      const cudaStream_t first = new_stream();
      model.predict_into(xs[0], ys[0], first);
      ASSERT_EQ(cudaStreamDestroy(first), cudaSuccess);  // while its work is running
      const cudaStream_t second = new_stream();
      ASSERT_EQ(second, first);
      model.predict_into(xs[1], ys[1], second);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      for (std::size_t i = 0; i < 2; ++i) expect_near(values_of(ys[i].to(Device::cpu())), wanted(hosts[i]));
      ASSERT_EQ(cudaStreamDestroy(second), cudaSuccess);
    }
    ASSERT_THAT(fake_cuda::misuses(), IsEmpty()) << "seed " << seed;
  }
}

TEST_F(CudaDriverRulesTest, EachThreadHasItsOwnDefaultStream) {
  for (unsigned seed = 0; seed < 8; ++seed) {
    restart_cuda({.seed = seed});
    const Tensor host = random_rows(4, 7);
    {
      const Model model = model_of(small_spec(), on_cuda());
      const Tensor x = host.to(Device::cuda(0));
      Tensor ys[2] = {result(), result()};
      model.predict_into(x, ys[0], cudaStreamPerThread);
      std::thread([&] { model.predict_into(x, ys[1], cudaStreamPerThread); }).join();
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      for (const Tensor& y : ys) expect_near(values_of(y.to(Device::cpu())), wanted(host));
    }
    ASSERT_THAT(fake_cuda::misuses(), IsEmpty()) << "seed " << seed;
  }
}

TEST_F(CudaDriverRulesTest, AStreamPerRequestNeedsFewSessions) {
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor x = random_rows(4, 7).to(Device::cuda(0));
  std::vector<Tensor> results;
  std::vector<cudaStream_t> streams;
  for (int i = 0; i < 20; ++i) {
    streams.push_back(new_stream());
    results.push_back(result());
    model.predict_into(x, results.back(), streams.back());
    if (i % 2 == 0) {
      ASSERT_EQ(cudaStreamSynchronize(streams.back()), cudaSuccess);
    }
  }
  EXPECT_LE(fake_cuda::live().streams, 20 + 8 + 1);  // the callers' streams, the sessions', the allocator's
  for (const cudaStream_t stream : streams) ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(CudaDriverRulesTest, ModelsAreMadeAndDestroyedWhileAnotherThreadCaptures) {
  const cudaStream_t stream = new_stream();
  for (const char* engine : {"", "gemm_bias_cudnn"}) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    std::thread([&] {
      Options options = on_cuda();
      options.engine = engine;
      SpecBuilder builder;
      const Model model = model_of(builder.build({builder.dense(builder.input({7}), 7, 12, activation_of("tanh"))}), options);
      for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(random_rows(20, 7)));
    }).join();
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess) << engine;
    if (graph != nullptr) {
      EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    }
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudaDriverRulesTest, ADisturbedCaptureIsTriedAgain) {
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor x = random_rows(20, 7);
  const auto first = values_of(model.predict(x));
  bool disturbed = false;
  fake_cuda::on_call([&](std::string_view name) {
    if (name != "cudaStreamEndCapture" || std::exchange(disturbed, true)) return;
    std::thread([] { EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported); }).join();
  });
  EXPECT_EQ(values_of(model.predict(x)), first);
  EXPECT_TRUE(disturbed);
  EXPECT_THAT(model.explain({.batch = 20}), HasSubstr("capture will be tried again"));
  EXPECT_EQ(values_of(model.predict(x)), first);
  EXPECT_THAT(model.explain({.batch = 20}), HasSubstr("captured as a CUDA graph"));
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 1U);
  fake_cuda::on_call({});
}

TEST_F(CudaDriverRulesTest, PreparedBatchesAreNeitherPlannedNorCapturedLater) {
  Options options = on_cuda();
  options.max_batch = 64;
  const Model model = model_of(small_spec(), options);
  const std::vector<std::int64_t> batches{3, 150, 40};
  model.prepare(batches);
  fake_cuda::clear_call_log();
  for (const std::int64_t rows : batches) {
    const Tensor x = random_rows(rows, 7);
    expect_near(values_of(model.predict(x)), wanted(x));
  }
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 5U);
  for (const char* call :
       {"cudaStreamBeginCapture", "cublasLtMatmulAlgoGetHeuristic", "cudaMallocFromPoolAsync", "cudaHostAlloc"})
    EXPECT_EQ(fake_cuda::count_calls(call), 0U) << call;
  EXPECT_THAT(message([&] { model.prepare(std::vector<std::int64_t>{0}); }, ErrorCode::value), HasSubstr("got 0 rows"));
}

TEST_F(CudaDriverRulesTest, PlanningIsDoneBeforeACallersCaptureOrRefused) {
  restart_cuda({.heuristics_in_captures = CUBLAS_STATUS_INTERNAL_ERROR});
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor host = random_rows(20, 7);
  const Tensor x = host.to(Device::cuda(0));
  Tensor y({20, 5}, DType::float32, Device::cuda(0));
  const cudaStream_t stream = new_stream();
  for (const bool prepared : {false, true}) {
    if (prepared) model.prepare(std::vector<std::int64_t>{20});
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    if (prepared) {
      model.predict_into(x, y, stream);
    } else {
      EXPECT_THAT(message([&] { model.predict_into(x, y, stream); }, ErrorCode::device), HasSubstr("Model::prepare()"));
    }
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  }
  expect_near(values_of(y.to(Device::cpu())), wanted(host));
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudaDriverRulesTest, AlternatingBuffersAreCapturedToo) {
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor x = random_rows(4, 7).to(Device::cuda(0));
  std::vector<Tensor> ys;
  for (int i = 0; i < 5; ++i) ys.push_back(result());
  for (int round = 0; round < 2; ++round) {
    for (Tensor& y : ys) model.predict_into(x, y);
  }
  fake_cuda::clear_call_log();
  for (Tensor& y : ys) model.predict_into(x, y);
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 5U);
  EXPECT_EQ(fake_cuda::count_calls("cudaStreamBeginCapture"), 0U);
}

TEST_F(CudaDriverRulesTest, AModelOnOneDeviceLeavesOtherDevicesAndTheThreadAlone) {
  restart_cuda({.devices = 3});
  {
    const Model model = model_of(small_spec(), on_cuda(1));
    for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(random_rows(4, 7)));
    static_cast<void>(random_rows(4, 7).to(Device::cuda(1)).to(Device::cpu()));
  }
  EXPECT_EQ(fake_cuda::contexts(), std::set<int>{1});
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 0);
  EXPECT_EQ(cudaSetDevice(2), cudaSuccess);
  static_cast<void>(model_of(small_spec(), on_cuda(1)).predict(random_rows(4, 7)));
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 2);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
}

/// A model with work in progress, and device memory.
struct Alive {
  Alive()
      : model(model_of(small_spec(), on_cuda())),
        x(random_rows(4, 7).to(Device::cuda(0))),
        y({4, 5}, DType::float32, Device::cuda(0)) {
    for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(random_rows(4, 7)));
    model.predict_into(x, y, cudaStreamLegacy);
  }
  Model model;
  Tensor x;
  Tensor y;
};

TEST_F(CudaDriverRulesTest, ModelsMayOutliveCudaAtTheEndOfAProcess) {
  auto alive = std::make_unique<Alive>();
  fake_cuda::unload();
  const auto before = fake_cuda::calls();
  alive.reset();
  EXPECT_LE(fake_cuda::calls() - before, 4U) << "after the first error CUDA is not called again";
  EXPECT_THAT(fake_cuda::misuses(), IsEmpty());
  restart_cuda();
}

TEST_F(CudaDriverRulesTest, AForkedChildGetsAnErrorAndEnds) {
  auto alive = std::make_unique<Alive>();
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const pid_t child = fork();
  if (child == 0) {
    int status = 1;
    try {
      static_cast<void>(alive->model.predict(random_rows(4, 7)));
    } catch (const DeviceError& error) {
      status = std::string_view(error.what()).find("fork()") == std::string_view::npos ? 2 : 0;
    }
    alive.reset();
    _exit(fake_cuda::misuses().empty() ? status : 3);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(CudaDriverRulesTest, AGpuWithoutCompiledCodeIsNotChosen) {
  restart_cuda({.devices = 2, .no_image = {0}});
  EXPECT_EQ(resolve(Device::automatic()), Device::cuda(1));
  EXPECT_THAT(message([] { static_cast<void>(Tensor({3}, DType::float32, Device::cuda(0))); }, ErrorCode::device),
              HasSubstr("no code for GPUs of compute capability 9.0"));
  restart_cuda({.no_image = {0}});
  EXPECT_EQ(resolve(Device::automatic()), Device::cpu());
}

TEST_F(CudaDriverRulesTest, AFailingLibraryIsNamedAndTheCallersErrorsAreKept) {
  const Tensor x = random_rows(20, 7);
  for (const bool once : {true, false}) {
    restart_cuda();
    const Model model = model_of(small_spec(), on_cuda());
    fake_cuda::set_last_error(cudaErrorInvalidConfiguration);
    fake_cuda::fail_nth("cublasLtMatmul", 1, once ? fake_cuda::Fault::once : fake_cuda::Fault::sticky);
    EXPECT_THAT(message([&] { static_cast<void>(model.predict(x)); }, once ? ErrorCode::device : ErrorCode::device_lost),
                HasSubstr("cublasLtMatmul"));
    if (once) {
      EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
      expect_near(values_of(model.predict(x)), wanted(x));
    }
  }
  restart_cuda();
}

TEST_F(CudaDriverRulesTest, TheExactAllocatorRequestsExactSizes) {
  ASSERT_EQ(setenv("LAMELLA_CUDA_ALLOCATOR", "exact", 1), 0);
  for (const bool pools : {true, false}) {
    restart_cuda({.pools = pools});
    if (!pools) {
      ASSERT_EQ(unsetenv("LAMELLA_CUDA_ALLOCATOR"), 0);
    }
    fake_cuda::clear_call_log();
    const auto memory = core::cuda_backend().allocate(0, 100);
    EXPECT_EQ(fake_cuda::live().device_bytes, 100U);
    EXPECT_EQ(fake_cuda::count_calls("cudaMalloc"), 1U);
    EXPECT_EQ(fake_cuda::count_calls("cudaMemset") + fake_cuda::count_calls("cudaMemsetAsync"), 0U);
  }
  ASSERT_EQ(setenv("LAMELLA_CUDA_ALLOCATOR", "arena", 1), 0);
  restart_cuda();
  EXPECT_THAT(message([] { static_cast<void>(core::cuda_backend().allocate(0, 1)); }, ErrorCode::value),
              HasSubstr("allowed pool, exact"));
  ASSERT_EQ(unsetenv("LAMELLA_CUDA_ALLOCATOR"), 0);
}

}  // namespace
}  // namespace lamella::test
