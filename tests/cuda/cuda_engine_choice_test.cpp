// SPDX-License-Identifier: Apache-2.0
// Which engine runs a Dense layer when cuBLASLt has no algorithm for it, or cuDNN is absent.
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <iostream>

#include <cublasLt.h>

#include <nlohmann/json.hpp>

#include "cuda/cuda_support.hpp"
#include "kernels/kernels.hpp"

namespace lamella::test {
namespace {

/// Enough inputs that lamella's own product of float32 would take longer than the library's and a pass.
constexpr std::int64_t kInputs = 201;

class CudaEngineChoiceTest : public CudaTest {};

Model relu_model(Options options = on_cuda(), std::int64_t inputs = kInputs) {
  SpecBuilder builder(4);
  const auto x = builder.input({inputs});
  return model_of(builder.build({builder.dense(x, inputs, 33, activation_of("relu"))}), options);
}

/// A layer of bfloat16 or another dtype with an activation that cuBLASLt does not have.
Model silu_model(DType dtype, Options options = on_cuda(), std::int64_t inputs = 31) {
  SpecBuilder builder(4);
  options.dtype = dtype;
  const auto x = builder.input({inputs});
  return model_of(builder.build({builder.dense(x, inputs, 33, activation_of("silu"))}), options);
}

struct Chosen {
  std::string engine;
  std::map<std::string, std::string> refused;
};
Chosen chosen(const Model& model, std::int64_t batch = 40) {
  const auto steps = nlohmann::json::parse(model.explain({.batch = batch, .json = true})).at("steps");
  const auto& step = steps.at(steps.at(0).at("engine") == "kernel" ? 1 : 0);  // after a cast
  Chosen result{step.at("engine"), {}};
  for (const auto& refusal : step.at("refused")) result.refused[refusal.at("engine")] = refusal.at("why");
  return result;
}

/// The engine on tensor cores or, in code for older devices, the next one in the list.
std::string mma_gemm_or(const char* next) {
  int architecture = 0;
  EXPECT_EQ(kernels::has_image(architecture), cudaSuccess);
  return architecture < kernels::kMmaArchitecture ? next : "mma_gemm";
}

void expect_right(const Model& model, std::int64_t rows = 40) {
  Options exact;
  exact.device = Device::cpu();
  exact.engine = "reference";
  const Tensor x = random_rows(rows, kInputs);
  expect_near(values_of(model.predict(x)), values_of(relu_model(exact).predict(x)));
}

TEST_F(CudaEngineChoiceTest, AnEpilogueWithoutAnAlgorithmLeavesTheProductToTheNextEngine) {
  fake_cuda::no_algorithms(CUBLASLT_EPILOGUE_RELU_BIAS);
  const Model model = relu_model();
  const Chosen found = chosen(model);
  EXPECT_EQ(found.engine, "gemm_then_epilogue");
  EXPECT_THAT(found.refused.at("cublaslt_epilogue"), testing::HasSubstr("cuBLASLt offers no algorithm for this product"));
  expect_right(model);
}

TEST_F(CudaEngineChoiceTest, AnActivationIsComparedWithKerasInTheTypeThatIsUsed) {
  restart_cuda({.relu_drops_nan = {CUDA_R_16F}});
  EXPECT_EQ(chosen(relu_model()).engine, "cublaslt_epilogue");
  Options options = on_cuda();
  options.dtype = DType::float16;
  const Chosen found = chosen(relu_model(options, 1024), 1088);
  EXPECT_EQ(found.engine, mma_gemm_or("gemm_then_epilogue"));
  EXPECT_THAT(found.refused.at("cublaslt_epilogue"), testing::HasSubstr("relu(nan) in float16 is 0, Keras' is nan"));
  expect_right(relu_model());
}

#ifdef LAMELLA_FAKE_CUDNN
TEST_F(CudaEngineChoiceTest, ATanhOfReducedPrecisionIsRefused) {
  for (const bool inexact : {false, true}) {
    restart_cuda({.inexact_tanh = std::vector<cudaDataType>(inexact ? 1 : 0, CUDA_R_32F)});
    SpecBuilder builder(4);
    Options options = on_cuda();
    options.engine = "gemm_bias_cudnn";
    const Model model =
        model_of(builder.build({builder.dense(builder.input({kInputs}), kInputs, 33, activation_of("tanh"))}), options);
    std::string refusal;
    try {
      static_cast<void>(model.predict(random_rows(40, kInputs)));
    } catch (const ArgumentError& error) {
      refusal = error.what();
    }
    EXPECT_EQ(refusal.find("cuDNN's tanh(") != std::string::npos, inexact) << refusal;
  }
}
#endif

TEST_F(CudaEngineChoiceTest, EachAlgorithmIsVerifiedOnceAndEachProductQueriedOnce) {
  const auto plan = [] { static_cast<void>(chosen(relu_model())); };
  plan();
  fake_cuda::clear_call_log();
  plan();
  EXPECT_EQ(fake_cuda::count_calls("cublasLtMatmulAlgoGetHeuristic") + fake_cuda::count_calls("cublasLtMatmul"), 0U);
  EXPECT_EQ(fake_cuda::count_calls("cublasLtCreate") + fake_cuda::count_calls("cublasLtDestroy"), 0U);
}

TEST_F(CudaEngineChoiceTest, FailingHeuristicsAreARefusal) {
  for (const cublasStatus_t status : {CUBLAS_STATUS_INTERNAL_ERROR, CUBLAS_STATUS_ARCH_MISMATCH}) {
    restart_cuda();
    fake_cuda::no_algorithms(-1, status);
    const Model model = relu_model();
    const Chosen found = chosen(model);
    EXPECT_EQ(found.engine, "tiled");
    EXPECT_THAT(found.refused.at("gemm_then_epilogue"), testing::HasSubstr("heuristics return CUBLAS_STATUS_"));
    expect_right(model);
  }
}

TEST_F(CudaEngineChoiceTest, UnalignedPointersAreCopiedIfNoAlgorithmTakesThem) {
  restart_cuda({.no_unaligned = true});
  const Model model = relu_model();
  EXPECT_EQ(chosen(model).engine, "cublaslt_epilogue");
  const Tensor host = random_rows(40, kInputs);
  Tensor src({40 * kInputs + 1}, DType::float32, Device::cuda(0));
  Tensor dst({40 * 33 + 1}, DType::float32, Device::cuda(0));
  auto* const from = static_cast<float*>(src.data()) + 1;
  auto* const to = static_cast<float*>(dst.data()) + 1;
  core::cuda_backend().copy(0, from, host.data(), host.bytes());
  model.predict_into(TensorView(from, host.shape(), DType::float32, Device::cuda(0)),
                     MutableTensorView(to, Shape{40, 33}, DType::float32, Device::cuda(0)));
  Tensor result({40, 33});
  core::cuda_backend().copy(0, result.data(), to, result.bytes());
  expect_near(values_of(result), values_of(model.predict(host)));
}

TEST_F(CudaEngineChoiceTest, WithoutAnyAlgorithmTheLastEngineTakesOver) {
  fake_cuda::no_algorithms(-1);
  const Model model = relu_model();
  const Chosen found = chosen(model);
  EXPECT_EQ(found.engine, "tiled");
  for (const char* engine : {"cublaslt_epilogue", "gemm_then_epilogue"}) {
    EXPECT_THAT(found.refused.at(engine), testing::HasSubstr("cuBLASLt offers no algorithm for this product")) << engine;
  }
  expect_right(model);
}

TEST_F(CudaEngineChoiceTest, AForcedEngineSaysThatThereIsNoAlgorithm) {
  fake_cuda::no_algorithms(-1);
  Options options = on_cuda();
  options.engine = "gemm_then_epilogue";
  const Model model = relu_model(options);
  try {
    static_cast<void>(model.predict(random_rows(2, kInputs)));
    FAIL() << "the engine ran without an algorithm";
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::value);
    EXPECT_THAT(error.what(), testing::HasSubstr("engine 'gemm_then_epilogue' cannot do this: cuBLASLt offers no algorithm"));
  }
}

TEST_F(CudaEngineChoiceTest, FewRowsAreOneLaunchAndMoreUseTheLibrary) {
  const Model model = relu_model();
  EXPECT_EQ(chosen(model, 16).engine, "small_batch");
  expect_right(model, 16);
  const Chosen more = chosen(model, 17);  // padded to 32 rows
  EXPECT_NE(more.engine, "small_batch");
  EXPECT_EQ(more.refused.at("small_batch"), "it takes at most 16 rows, got 32");
  Options options = on_cuda();
  options.engine = "small_batch";
  const Model forced = relu_model(options);
  expect_right(forced, 3);
  EXPECT_THROW(static_cast<void>(forced.predict(random_rows(17, kInputs))), ArgumentError);
}

TEST_F(CudaEngineChoiceTest, SmallBatchGivesItsOtherReasons) {
  Options options = on_cuda();
  options.determinism = Determinism::batch_invariant;
  EXPECT_THAT(chosen(relu_model(options), 3).refused.at("small_batch"),
              testing::HasSubstr("larger batches are summed in another order"));
  options = on_cuda();
  options.dtype = DType::float64;
  EXPECT_THAT(chosen(relu_model(options), 3).refused.at("small_batch"), testing::HasSubstr("it computes in float32"));
  options = on_cuda();
  options.fusion = Fusion::none;
  EXPECT_THAT(chosen(relu_model(options), 3).refused.at("small_batch"), testing::HasSubstr("a different fusion was requested"));
}

#ifdef LAMELLA_FAKE_CUDNN
/// In a process of its own, because each process looks for cuDNN once.
int without_cudnn() {
  if (setenv("LAMELLA_FAKE_CUDNN", "absent", 1) != 0) return 2;
  std::cerr << relu_model().predict(random_rows(40, kInputs)).shape()[1] << " units, " << describe(Device::cuda(0)) << '\n';
  Options options = on_cuda();
  options.engine = "gemm_bias_cudnn";
  try {
    static_cast<void>(relu_model(options).predict(random_rows(40, kInputs)));
  } catch (const ArgumentError& error) {
    std::cerr << error.what() << '\n';
    return 0;
  }
  return 1;
}

TEST(CudaEngineChoiceDeathTest, WithoutCudnnOnlyItsEnginesRefuse) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(_exit(without_cudnn()), testing::ExitedWithCode(0),
              testing::AllOf(testing::HasSubstr("33 units"), testing::HasSubstr("cuDNN: not found"),
                             testing::HasSubstr("engine 'gemm_bias_cudnn' cannot do this: cuDNN cannot be loaded")));
}
#endif

TEST_F(CudaEngineChoiceTest, TensorCoresRunWhatTheLibraryCannotFuse) {
  EXPECT_EQ(chosen(silu_model(DType::float16)).engine, mma_gemm_or("gemm_then_epilogue"));
  const Chosen wide = chosen(silu_model(DType::bfloat16, on_cuda(), 4096), 2048);
  EXPECT_EQ(wide.engine, "gemm_then_epilogue");
  const Chosen few = chosen(silu_model(DType::bfloat16), 32);
  EXPECT_EQ(few.engine == "small_batch", mma_gemm_or("") == "mma_gemm");  // else for eight
  EXPECT_EQ(chosen(silu_model(DType::bfloat16), 8).engine, "small_batch");
  EXPECT_EQ(chosen(silu_model(DType::float32)).engine, "tiled") << "one launch, and little work";
  const Chosen single = chosen(silu_model(DType::float32, on_cuda(), 1401));
  EXPECT_EQ(single.engine, "gemm_then_epilogue");
  EXPECT_EQ(single.refused.at("mma_gemm"), "it multiplies float16 and bfloat16; float32 would lose bits");
  EXPECT_THAT(single.refused.at("tiled"), testing::HasSubstr(" us, predicted"));
  Options options = on_cuda();
  options.dtype = DType::float16;
  EXPECT_EQ(chosen(relu_model(options, 1024), 1088).engine, "cublaslt_epilogue");
  options.determinism = Determinism::batch_invariant;
  EXPECT_EQ(chosen(relu_model(options)).engine, mma_gemm_or("tiled"));
  EXPECT_EQ(chosen(relu_model(options), 3).engine, mma_gemm_or("tiled"));
  options.dtype = {};
  EXPECT_EQ(chosen(relu_model(options)).engine, "tiled");
  options = on_cuda();
  options.fusion = Fusion::none;
  EXPECT_THAT(chosen(silu_model(DType::float16, options)).refused.at("mma_gemm"),
              testing::HasSubstr("a different fusion was requested"));
}

TEST_F(CudaEngineChoiceTest, Float32IsSplitOnlyWhereMathAllowsIt) {
  SpecBuilder builder(4);
  const auto spec = builder.build({builder.dense(builder.input({512}), 512, 512, activation_of("silu"))});
  Options options = on_cuda();
  const Chosen exact = chosen(model_of(spec, options), 4096);
  EXPECT_EQ(exact.engine, "gemm_then_epilogue");
  EXPECT_EQ(exact.refused.at("mma_gemm_float32"), "it splits float32 into bfloat16, which math bf16x6 allows and exact does not");
  options.math = Math::bf16x6;
  const bool has_mma = mma_gemm_or("") == "mma_gemm";
  EXPECT_EQ(chosen(model_of(spec, options), 4096).engine, has_mma ? "mma_gemm_float32" : "gemm_then_epilogue");
  EXPECT_EQ(chosen(model_of(spec, options), 1).engine, "small_batch");
  EXPECT_THAT(chosen(silu_model(DType::float32, options)).refused.at("mma_gemm_float32"),
              testing::HasSubstr(has_mma ? "at least 64 inputs" : "compute capability"));
  options.determinism = Determinism::batch_invariant;
  EXPECT_EQ(chosen(model_of(spec, options), 3).engine, has_mma ? "mma_gemm_float32" : "tiled");
  options = on_cuda();
  options.math = Math::bf16x6;
  options.engine = "mma_gemm_float32";
  if (!has_mma) return;
  expect_right(relu_model(options));
  expect_right(relu_model(options), 1);
}

TEST_F(CudaEngineChoiceTest, SumsOfManyRowsAreComputedInChunksThatAPassFindsInTheSecondCache) {
  constexpr std::int64_t kRows = 1411;  // a chunk of 1152, and the rest
  SpecBuilder builder(4);
  const auto spec = builder.build({builder.dense(builder.input({3}), 3, 5001, activation_of("relu"))});
  Options options = on_cuda();
  options.engine = "gemm_then_epilogue";
  options.dtype = DType::bfloat16;
  options.graphs = false;
  const Model model = model_of(spec, options);
  options.device = Device::cpu();
  options.engine = "reference";
  const Tensor x = random_rows(kRows, 3);
  fake_cuda::clear_call_log();
  const Tensor found = model.predict(x);
  EXPECT_EQ(fake_cuda::count_calls("cublasLtMatmul"), 2U);
  const Tensor wanted = model_of(spec, options).predict(x);
  ASSERT_EQ(found.shape(), wanted.shape());
  for (std::size_t i = 0; i < wanted.span<bfloat16>().size(); ++i) {
    const auto value = static_cast<float>(wanted.span<bfloat16>()[i]);
    ASSERT_NEAR(static_cast<float>(found.span<bfloat16>()[i]), value, 1e-2F * (1 + std::abs(value))) << i;
  }
  const auto steps = nlohmann::json::parse(model.explain({.batch = kRows, .json = true})).at("steps");
  for (const auto& step : steps) EXPECT_LE(step.at("workspace").get<std::int64_t>(), 24'100'000 + (32 << 20)) << step;
}

TEST_F(CudaEngineChoiceTest, CodeForOlderDevicesHasNoTensorCores) {
  restart_cuda({.compute_capability = 75});
  const Chosen found = chosen(silu_model(DType::float16));
  EXPECT_EQ(found.engine, "gemm_then_epilogue");
  EXPECT_EQ(found.refused.at("mma_gemm"),
            "it needs code for compute capability 8.0 or later; this device's code was compiled for 7.5");
  EXPECT_EQ(chosen(silu_model(DType::float16), 9).refused.at("small_batch"), "it takes at most 8 rows, got 16");
  EXPECT_EQ(chosen(silu_model(DType::float16), 8).engine, "small_batch");
}

}  // namespace
}  // namespace lamella::test
