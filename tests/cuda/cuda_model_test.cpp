// SPDX-License-Identifier: Apache-2.0
// Whole models: graphs, streams, engines, memory limits, threads.
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/bench/grid.hpp"
#include "cuda/cuda_support.hpp"
#include "effort.hpp"

namespace lamella::test {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::Not;

constexpr unsigned kEffort = kOneCaseOf == 1 ? 20 : 1;

class CudaModelTest : public CudaTest {};

std::vector<float> on_cpu(const std::shared_ptr<const core::ModelSpec>& spec, const Tensor& x) {
  return values_of(model_of(spec, {.device = Device::cpu()}).predict(x));
}

TEST_F(CudaModelTest, PredictsWhatKerasDoes) {
  const Model model = Model::load(mlp_path(), on_cuda());
  const Tensor x = load_npy(std::string(LAMELLA_SOURCE_DIR) + "/examples/models/mlp_input.npy");
  const Tensor expected = load_npy(std::string(LAMELLA_SOURCE_DIR) + "/examples/models/mlp_expected.npy");
  expect_near(values_of(model.predict(x)), values_of(expected));
}

TEST_F(CudaModelTest, ARepeatedCallIsCapturedAndThenReplayed) {
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor x = random_rows(20, 7);
  const auto first = values_of(model.predict(x));
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 0U);
  fake_cuda::clear_call_log();
  for (int i = 0; i < 5; ++i) ASSERT_EQ(values_of(model.predict(x)), first);
  EXPECT_EQ(fake_cuda::count_calls("cudaStreamBeginCapture"), 1U);
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 5U);
  EXPECT_THAT(model.explain({.batch = 20}), HasSubstr("captured as a CUDA graph"));
  EXPECT_THAT(model.explain({.batch = 33}), Not(HasSubstr("captured as a CUDA graph")));
}

TEST_F(CudaModelTest, WithoutGraphsTheBitsAreTheSame) {
  Options plain = on_cuda();
  plain.graphs = false;
  const Model with = model_of(small_spec(), on_cuda());
  const Model without = model_of(small_spec(), plain);
  for (const std::int64_t rows : {1, 4, 128}) {
    const Tensor x = random_rows(rows, 7);
    const auto wanted = values_of(without.predict(x));
    expect_near(wanted, on_cpu(small_spec(), x));
    for (int i = 0; i < 3; ++i) ASSERT_EQ(values_of(with.predict(x)), wanted) << rows;
  }
  fake_cuda::clear_call_log();
  static_cast<void>(without.predict(random_rows(1, 7)));
  EXPECT_EQ(fake_cuda::count_calls("cudaStreamBeginCapture") + fake_cuda::count_calls("cudaGraphLaunch"), 0U);
}

TEST_F(CudaModelTest, BatchesOfSimilarSizesShareAGraphWithoutShowingPadding) {
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor all = random_rows(300, 7);
  for (const std::int64_t rows : {16, 9, 12, 16, 13, 33, 64, 255, 256, 257}) {
    Tensor x({rows, 7});
    std::copy_n(all.span<float>().begin(), x.span<float>().size(), x.span<float>().begin());
    const Tensor y = model.predict(x);
    ASSERT_EQ(y.shape(), (Shape{rows, 5}));
    expect_near(values_of(y), on_cpu(small_spec(), x));
  }
  for (const std::int64_t rows : {9, 16}) static_cast<void>(model.predict(random_rows(rows, 7)));  // makes the buffers grow
  fake_cuda::clear_call_log();
  for (const std::int64_t rows : {9, 16, 11}) static_cast<void>(model.predict(random_rows(rows, 7)));
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 3U);
  EXPECT_EQ(fake_cuda::count_calls("cudaStreamBeginCapture"), 0U);
}

TEST_F(CudaModelTest, ReplaysDoNotGrow) {
  Options options = on_cuda();
  options.engine = "gemm_then_epilogue";  // so that the graph refers to a library's descriptors
  SpecBuilder builder(1);
  const Model model = model_of(builder.build({builder.dense(builder.input({7}), 7, 5, activation_of("tanh"))}), options);
  const Tensor x = random_rows(2, 7).to(Device::cuda(0));
  Tensor y({2, 5}, DType::float32, Device::cuda(0));
  for (int i = 0; i < 3; ++i) model.predict_into(x, y);
  const auto before = fake_cuda::live();
  const int replays = kEffort == 1 ? 500 : 100'000;
  for (int i = 0; i < replays; ++i) model.predict_into(x, y);
  EXPECT_EQ(fake_cuda::live(), before);
}

TEST_F(CudaModelTest, MemoryOfADestroyedGraphIsFreedByTheNextCall) {
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor x = random_rows(2, 7).to(Device::cuda(0));
  Tensor y({2, 5}, DType::float32, Device::cuda(0));
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  for (int i = 0; i < 3; ++i) model.predict_into(x, y);
  const auto before = fake_cuda::live();
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  model.predict_into(x, y, stream);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_GT(fake_cuda::live().device_bytes, before.device_bytes);
  model.predict_into(x, y);
  EXPECT_EQ(fake_cuda::live(), before);
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudaModelTest, AProfileHasTheSameBitsAndNoGraphs) {
  Options options = on_cuda();
  const Tensor x = random_rows(20, 7);
  const auto without = values_of(model_of(small_spec(), options).predict(x));
  options.profile = true;
  const Model model = model_of(small_spec(), options);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(values_of(model.predict(x)), without);
  fake_cuda::clear_call_log();
  static_cast<void>(model.predict(x));
  EXPECT_EQ(fake_cuda::count_calls("cudaStreamBeginCapture") + fake_cuda::count_calls("cudaGraphLaunch"), 0U);
}

/// More buffers than a session keeps graphs for: the least recently used graph is dropped.
TEST_F(CudaModelTest, GraphsOfManyBuffersAreReplaced) {
  Options options = on_cuda();
  options.engine = "gemm_then_epilogue";
  const Model model = model_of(small_spec(), options);
  const Tensor x = random_rows(2, 7).to(Device::cuda(0));
  const auto wanted = on_cpu(small_spec(), x.to(Device::cpu()));
  std::vector<Tensor> outputs;
  for (int i = 0; i < 40; ++i) outputs.emplace_back(Shape{2, 5}, DType::float32, Device::cuda(0));
  const auto all = [&] {
    for (Tensor& y : outputs) {
      for (int i = 0; i < 3; ++i) model.predict_into(x, y);
      expect_near(values_of(y.to(Device::cpu())), wanted);
    }
  };
  all();
  const auto before = fake_cuda::live();
  all();
  EXPECT_EQ(fake_cuda::live(), before);
}

TEST_F(CudaModelTest, AStoppedPredictionWaitsForStartedWorkAndKeepsItsSessions) {
  Options options = on_cuda();
  options.max_batch = 2;
  const Model model = model_of(small_spec(), options);
  const Tensor x = random_rows(400, 7);
  const auto whole = values_of(model.predict(x));
  static_cast<void>(model.predict(x));  // now replays
  const auto before = fake_cuda::live();
  int in_the_middle = 0;
  for (int i = 0; i < 2000 && in_the_middle == 0; ++i) {
    std::stop_source stop;
    const std::jthread stopper([&] { stop.request_stop(); });
    try {
      EXPECT_EQ(values_of(model.predict(x, stop.get_token())), whole);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::cancelled);
      if (!std::string_view(error.what()).starts_with("[Model::predict] cancelled after 0 of 400 rows")) ++in_the_middle;
    }
    EXPECT_EQ(fake_cuda::live(), before);
    EXPECT_THAT(fake_cuda::misuses(), testing::IsEmpty());
  }
  EXPECT_GT(in_the_middle, 0);
  EXPECT_EQ(values_of(model.predict(x)), whole);
}

TEST_F(CudaModelTest, PredictIntoOnAStreamNeitherWaitsNorAllocatesNorCopies) {
  const Model model = model_of(small_spec(), on_cuda());
  const Tensor x = random_rows(4, 7).to(Device::cuda(0));
  Tensor y({4, 5}, DType::float32, Device::cuda(0));
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  for (int i = 0; i < 3; ++i) model.predict_into(x, y, stream);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  fake_cuda::clear_call_log();
  for (int i = 0; i < 3; ++i) model.predict_into(x, y, stream);
  for (const std::string& call : fake_cuda::call_log()) {
    EXPECT_THAT(call, testing::AnyOf("cudaStreamGetId", "cudaGraphLaunch", "cudaEventRecord", "cudaPointerGetAttributes",
                                     "cudaStreamIsCapturing"))
        << call;
  }
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  expect_near(values_of(y.to(Device::cpu())), on_cpu(small_spec(), x.to(Device::cpu())));
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudaModelTest, WorkRunsAfterWhatTheCallersStreamHolds) {
  for (unsigned seed = 0; seed < kEffort; ++seed) {
    restart_cuda({.seed = seed});
    const Tensor host = random_rows(4, 7, seed);
    const auto wanted = on_cpu(small_spec(), host);
    {
      const Model model = model_of(small_spec(), on_cuda());
      Tensor x({4, 7}, DType::float32, Device::cuda(0));
      Tensor y({4, 5}, DType::float32, Device::cuda(0));
      cudaStream_t streams[2] = {};
      for (cudaStream_t& stream : streams) ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
      for (int i = 0; i < 6; ++i) {
        // The caller's own kernel writes the input, on alternating streams, while sessions are shared between them.
        const cudaStream_t stream = streams[i % 2];
        float* const to = static_cast<float*>(x.data());
        ASSERT_EQ(fake_cuda::launch(stream, {}, {to}, [&, to] { std::memcpy(to, host.view().data(), host.bytes()); }),
                  cudaSuccess);
        model.predict_into(x, y, stream);
        ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
        expect_near(values_of(y.to(Device::cpu())), wanted);
      }
      for (const cudaStream_t stream : streams) ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    }
    ASSERT_THAT(fake_cuda::misuses(), testing::IsEmpty()) << "seed " << seed;
  }
}

TEST_F(CudaModelTest, TwoStreamsAtOnceDoNotDisturbEachOther) {
  for (unsigned seed = 0; seed < kEffort; ++seed) {
    restart_cuda({.seed = seed});
    const Model model = model_of(small_spec(), on_cuda());
    const Tensor hosts[2] = {random_rows(4, 7, 1), random_rows(4, 7, 2)};
    const Tensor xs[2] = {hosts[0].to(Device::cuda(0)), hosts[1].to(Device::cuda(0))};
    Tensor ys[2] = {Tensor({4, 5}, DType::float32, Device::cuda(0)), Tensor({4, 5}, DType::float32, Device::cuda(0))};
    cudaStream_t streams[2] = {};
    for (cudaStream_t& stream : streams) ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 2; ++k) model.predict_into(xs[k], ys[k], streams[k]);
    }
    for (const cudaStream_t stream : streams) {
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    }
    for (int k = 0; k < 2; ++k) expect_near(values_of(ys[k].to(Device::cpu())), on_cpu(small_spec(), hosts[k]));
    ASSERT_THAT(fake_cuda::misuses(), testing::IsEmpty()) << "seed " << seed;
  }
}

TEST_F(CudaModelTest, AModelMayBeDestroyedWhileItsWorkRuns) {
  const Tensor host = random_rows(4, 7);
  const Tensor x = host.to(Device::cuda(0));
  Tensor y({4, 5}, DType::float32, Device::cuda(0));
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  model_of(small_spec(), on_cuda()).predict_into(x, y, stream);
  model_of(small_spec(), on_cuda()).predict_into(x, y, nullptr);  // CUDA's default stream
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  expect_near(values_of(y.to(Device::cpu())), on_cpu(small_spec(), host));
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudaModelTest, ManyRowsRunInChunksOnTwoSessions) {
  for (unsigned seed = 0; seed < (kEffort + 1) / 2; ++seed) {
    restart_cuda({.seed = seed});
    Options options = on_cuda();
    options.max_batch = 8;
    const Model model = model_of(small_spec(), options);
    const Tensor x = random_rows(67, 7, seed);
    for (int i = 0; i < 3; ++i) expect_near(values_of(model.predict(x)), on_cpu(small_spec(), x));
    ASSERT_THAT(fake_cuda::misuses(), testing::IsEmpty()) << "seed " << seed;
  }
}

TEST_F(CudaModelTest, SetActivationSharesTheWeightsAndChangesTheResults) {
  Model model = model_of(small_spec(), on_cuda());
  const Tensor x = random_rows(5, 7);
  for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(x));
  Model copy = model;
  const auto before = values_of(copy.predict(x));
  model.set_activation("Dense_1", "tanh");
  Model on_host = model_of(small_spec(), {.device = Device::cpu()});
  on_host.set_activation("Dense_1", "tanh");
  for (int i = 0; i < 3; ++i) expect_near(values_of(model.predict(x)), values_of(on_host.predict(x)));
  EXPECT_EQ(values_of(copy.predict(x)), before);
}

TEST_F(CudaModelTest, RunsEveryFusionAndEveryEngineThatIsForced) {
  const Tensor x = random_rows(6, 7);
  for (const char* kind : {"relu", "tanh", "gelu", "silu", "softplus"}) {
    SpecBuilder builder(3);
    const auto spec = builder.build({builder.dense(builder.input({7}), 7, 12, activation_of(kind))});
    const auto wanted = on_cpu(spec, x);
    for (const Fusion fusion : {Fusion::automatic, Fusion::none, Fusion::epilogue}) {
      Options options = on_cuda();
      options.fusion = fusion;
      expect_near(values_of(model_of(spec, options).predict(x)), wanted);
    }
    int ran = 0;
    for (const char* engine : bench::kCudaDenseEngines) {
      Options options = on_cuda();
      options.engine = engine;
      const Model model = model_of(spec, options);
      try {
        expect_near(values_of(model.predict(x)), wanted);
      } catch (const ArgumentError& error) {
        EXPECT_THAT(error.what(), HasSubstr(std::string("engine '") + engine + "' cannot do this: "));
        continue;
      }
      const auto steps = nlohmann::json::parse(model.explain({.batch = 6, .json = true})).at("steps");
      EXPECT_EQ(steps.at(0).at("engine"), engine);
      ++ran;
    }
    EXPECT_GE(ran, 3) << kind;
  }
  Options options = on_cuda();
  options.engine = "gemm_bias_cudnn";
  options.fusion = Fusion::none;
  SpecBuilder builder(3);
  const auto spec = builder.build({builder.dense(builder.input({7}), 7, 12, activation_of("tanh"))});
  expect_near(values_of(model_of(spec, options).predict(x)), on_cpu(spec, x));
  options.engine = "wgmma";
  EXPECT_THROW(model_of(spec, options), ArgumentError);
}

TEST_F(CudaModelTest, AMemoryLimitHoldsAndItsErrorSaysWhatDidNotFit) {
  Options options = on_cuda();
  options.memory_limit = 100;
  const Tensor x = random_rows(6, 7);
  const Model model = model_of(small_spec(), options);
  try {
    static_cast<void>(model.predict(x));
    FAIL() << "100 bytes were enough";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("memory_limit"), HasSubstr("of 100 bytes are in use")));
  }
  options.memory_limit = std::size_t{128} << 20U;
  expect_near(values_of(model_of(small_spec(), options).predict(x)), on_cpu(small_spec(), x));
}

TEST_F(CudaModelTest, ManyThreadsAndModelsShareADevice) {
  constexpr int kThreads = 8;
  const Tensor x = random_rows(3, 7);
  const std::vector<std::shared_ptr<const core::ModelSpec>> specs{small_spec(1), small_spec(2)};
  const std::vector<std::vector<float>> wanted{on_cpu(specs[0], x), on_cpu(specs[1], x)};
  {
    const std::vector<Model> models{model_of(specs[0], on_cuda()), model_of(specs[1], on_cuda())};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < static_cast<int>(kEffort); ++i) {
          const auto which = static_cast<std::size_t>((t + i) % 2);
          const auto found = values_of(models[which].predict(x));
          for (std::size_t k = 0; k < found.size(); ++k) wrong += std::fabs(found[k] - wanted[which][k]) > 1e-5F ? 1 : 0;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
  stop_cuda();
  EXPECT_EQ(fake_cuda::live().device_bytes, 0U) << "destroyed models must return their memory";
}

TEST_F(CudaModelTest, EveryDeviceRunsItsOwnModels) {
  for (const int devices : {2, 8}) {
    restart_cuda({.devices = devices});
    const Tensor x = random_rows(3, 7);
    const auto wanted = on_cpu(small_spec(), x);
    std::vector<Model> models;
    for (int d = 0; d < devices; ++d) models.push_back(model_of(small_spec(), on_cuda(d)));
    for (int i = 0; i < 3; ++i) {
      for (const Model& model : models) expect_near(values_of(model.predict(x)), wanted);
    }
  }
}

}  // namespace
}  // namespace lamella::test
