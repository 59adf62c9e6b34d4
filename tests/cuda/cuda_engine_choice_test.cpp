// SPDX-License-Identifier: Apache-2.0
// What runs a Dense layer when cuBLASLt has nothing for it.
#include <cublasLt.h>

#include <nlohmann/json.hpp>

#include "cuda/cuda_support.hpp"

namespace lamella::test {
namespace {

class CudaEngineChoiceTest : public CudaTest {};

Model relu_model(Options options = on_cuda()) {
  SpecBuilder builder(4);
  const auto x = builder.input({31});
  return {builder.build({builder.dense(x, 31, 33, activation("relu"))}), options};
}

struct Chosen {
  std::string engine;
  std::map<std::string, std::string> refused;
};
Chosen chosen(const Model& model) {
  const auto step = nlohmann::json::parse(model.explain({.batch = 5, .json = true})).at("steps").at(0);
  Chosen result{step.at("engine"), {}};
  for (const auto& refusal : step.at("refused")) result.refused[refusal.at("engine")] = refusal.at("why");
  return result;
}

void expect_right(const Model& model) {
  Options exact;
  exact.device = Device::cpu();
  exact.engine = "reference";
  const Tensor x = random_rows(5, 31);
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

TEST_F(CudaEngineChoiceTest, AnEpilogueThatCannotBeExaminedIsNotBelieved) {
  fake_cuda::no_algorithms(CUBLASLT_EPILOGUE_RELU);
  const Model model = relu_model();
  EXPECT_EQ(chosen(model).engine, "gemm_then_epilogue");
  expect_right(model);
}

TEST_F(CudaEngineChoiceTest, WithoutAnyAlgorithmTheEngineThatRefusesNothingTakesOver) {
  fake_cuda::no_algorithms(-1);
  const Model model = relu_model();
  const Chosen found = chosen(model);
  EXPECT_EQ(found.engine, "tiled");
  for (const char* engine : {"cublaslt_epilogue", "gemm_then_epilogue", "gemm_bias_activation"}) {
    EXPECT_THAT(found.refused.at(engine), testing::HasSubstr("cuBLASLt offers no algorithm for this product")) << engine;
  }
  expect_right(model);
}

TEST_F(CudaEngineChoiceTest, AnEngineThatIsAskedForByNameSaysThatThereIsNoAlgorithm) {
  fake_cuda::no_algorithms(-1);
  Options options = on_cuda();
  options.engine = "gemm_then_epilogue";
  const Model model = relu_model(options);
  try {
    static_cast<void>(model.predict(random_rows(2, 31)));
    FAIL() << "there is no algorithm";
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::value);
    EXPECT_THAT(error.what(), testing::HasSubstr("engine 'gemm_then_epilogue' cannot do this: cuBLASLt offers no algorithm"));
  }
}

}  // namespace
}  // namespace lamella::test
