// SPDX-License-Identifier: Apache-2.0
// The backend with a double of the server, for situations that a real one cannot be made to produce. tests/serving/triton_test.py
// uses a real server.
#include <cstring>
#include <nlohmann/json.hpp>

#include "fault/faults.hpp"
#include "serving/triton_support.hpp"

namespace lamella {
namespace {

using test::FakeServer;
using test::kFeatures;
using test::kFixtures;
using test::refuses;
using test::request_for;
using test::succeeds;
using test::TritonBackendTest;
using test::TritonRequestTest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(TritonRequestTest, JoinsTheRowsOfSeveralRequests) {
  std::vector requests{request_for(x_, 1), request_for(x_, 3), request_for(x_, 2)};
  succeeds(execute(requests));
  expect_answered(requests[0], 1);
  expect_answered(requests[1], 3);
  expect_answered(requests[2], 2);
  EXPECT_THAT(instance_.batches, ElementsAre(6U));
}

TEST_F(TritonRequestTest, AcceptsInputsInPiecesAndAtAnyAddress) {
  std::vector requests{request_for(x_, 3), request_for(x_, 3)};
  auto& pieces = requests[0].inputs[0].pieces;
  const std::vector<std::byte> whole = pieces[0];
  pieces = {{whole.begin(), whole.begin() + 5}, {}, {whole.begin() + 5, whole.end()}};
  std::vector one{std::move(requests[0])};
  succeeds(execute(one));
  expect_answered(one[0], 3);
  requests.erase(requests.begin());
  succeeds(execute(requests));
  expect_answered(requests[0], 3);
}

TEST_F(TritonRequestTest, RefusesInvalidRequestsAndAnswersTheOthers) {
  std::vector<TRITONBACKEND_Request> requests;
  for (int i = 0; i < 9; ++i) requests.push_back(request_for(x_, 2));
  requests[0].inputs.clear();
  requests[1].inputs[0].type = TRITONSERVER_TYPE_FP64;
  requests[2].inputs[0].shape = {2, 8};
  requests[3].inputs[0].shape = {2};
  requests[4].inputs[0].pieces[0].resize(40);
  requests[5].inputs[0].memory = TRITONSERVER_MEMORY_GPU;
  requests[6].outputs = {"dense", "dense_1"};
  requests[7].inputs[0].shape = {std::int64_t{1} << 62, kFeatures};
  succeeds(execute(requests));
  expect_refused(requests[0], "input 'input_layer': the request has none [E_MISSING]");
  expect_refused(requests[1], "datatype: got FP64, the model takes FP32 [E_DTYPE]");
  expect_refused(requests[2], "shape: got [2, 8], the model takes [-1, 7] [E_SHAPE]");
  expect_refused(requests[3], "shape: got [2], the model takes [-1, 7] [E_SHAPE]");
  expect_refused(requests[4], "got 40 bytes, its shape has 56 [E_SHAPE]");
  expect_refused(requests[5], "it lies in GPU memory; allowed is host memory");
  expect_refused(requests[6], "output 'dense_1': the model has none of that name");
  expect_refused(requests[7], "has more bytes than memory [E_OVERFLOW]");
  expect_answered(requests[8], 2);
  EXPECT_THAT(instance_.batches, ElementsAre(2U));
}

TEST_F(TritonRequestTest, AnOutputThatCannotBeWrittenIsTheErrorOfItsRequest) {
  std::vector requests{request_for(x_, 1), request_for(x_, 2), request_for(x_, 3)};
  requests[0].output_fails = true;
  requests[1].output_memory = TRITONSERVER_MEMORY_GPU;
  succeeds(execute(requests));
  expect_refused(requests[0], "no memory for an output");
  expect_refused(requests[1], "output 'dense': it is wanted in GPU memory");
  expect_answered(requests[2], 3);
}

TEST_F(TritonRequestTest, WithoutAResponseTheServerKeepsEveryRequest) {
  std::vector requests{request_for(x_, 1), request_for(x_, 2)};
  requests[1].response_fails = true;
  refuses(execute(requests), TRITONSERVER_ERROR_UNAVAILABLE, "no memory for a response");
  for (const auto& request : requests) EXPECT_EQ(request.sent + request.released + request.failed, 0);
  requests[1].response_fails = false;
  succeeds(execute(requests));
  expect_answered(requests[1], 2);
}

TEST_F(TritonRequestTest, AnswersEachRequestOnceWhicheverAllocationFails) {
  int whole = 0;
  int refusals = 0;
  for (std::size_t n = 1; n < 10'000 && !HasFailure(); ++n) {
    std::vector requests{request_for(x_, 1), request_for(x_, 3), request_for(x_, 2)};
    for (auto& request : requests) {
      TRITONBACKEND_Output& y = request.answers["dense"];
      y.shape.reserve(2);
      y.values.reserve(15);
      request.error.reserve(512);
    }
    instance_.batches.clear();
    instance_.batches.reserve(8);
    std::vector<TRITONBACKEND_Request*> handles{&requests[0], &requests[1], &requests[2]};
    fault::arm(n, false);
    TRITONSERVER_Error* const error = TRITONBACKEND_ModelInstanceExecute(&instance_, handles.data(), 3);
    if (fault::disarm() == 0) break;  // no further allocation
    if (error != nullptr) {
      refuses(error, TRITONSERVER_ERROR_UNAVAILABLE, "E_OUT_OF_MEMORY");
      for (const auto& request : requests) EXPECT_EQ(request.sent + request.released, 0);
      continue;
    }
    int answered = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const bool good = requests[i].error.empty();
      good ? expect_answered(requests[i], requests[i].inputs[0].shape[0]) : expect_refused(requests[i], "E_OUT_OF_MEMORY");
      answered += good;
    }
    EXPECT_GE(answered, 2) << "one failed allocation is the error of two requests";
    whole += answered == 3;
    refusals += answered == 2;
  }
  EXPECT_GT(whole, 0);     // the batch failed, but each request alone did not
  EXPECT_GT(refusals, 0);  // reading a request or writing its output failed
}

TEST_F(TritonRequestTest, SendsOnlyRequestedOutputs) {
  std::vector requests{request_for(x_, 1)};
  requests[0].outputs.clear();
  succeeds(execute(requests));
  EXPECT_EQ(requests[0].error, "");
  EXPECT_TRUE(requests[0].answers.empty());
}

TEST_F(TritonBackendTest, MakesOneCallForEachShape) {
  serve("none_inner_dim");
  const Tensor x = std::move(load_npz(kFixtures + "none_inner_dim/arrays.npz").at("x"));  // (3, 5, 8)
  const Tensor y = std::move(load_npz(kFixtures + "none_inner_dim/arrays.npz").at("y"));  // (3, 5, 3)
  std::vector<TRITONBACKEND_Request> requests(3);
  std::vector<TRITONBACKEND_Request*> handles;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int64_t steps = i == 1 ? 2 : 5;  // for the first row's input
    const auto* const first = reinterpret_cast<const std::byte*>(x.data());
    requests[i].inputs.push_back({"input_layer", TRITONSERVER_TYPE_FP32, {1, steps, 8}, {{first, first + steps * 8 * 4}}});
    requests[i].outputs = {"dense"};
    handles.push_back(&requests[i]);
  }
  succeeds(TRITONBACKEND_ModelInstanceExecute(&instance_, handles.data(), 3));
  EXPECT_THAT(instance_.batches, ElementsAre(2U, 1U));
  for (const auto& request : requests) {
    EXPECT_EQ(request.error, "");
    const TRITONBACKEND_Output& got = request.answers.at("dense");
    ASSERT_THAT(got.shape, ElementsAre(1, request.inputs[0].shape[1], 3));
    for (std::size_t k = 0; k < got.values.size(); ++k) EXPECT_NEAR(got.values[k], static_cast<const float*>(y.data())[k], 4e-6);
  }
}

TEST_F(TritonBackendTest, CompletesTheConfigurationFromTheFile) {
  EXPECT_EQ(nlohmann::json::parse(model_.config), nlohmann::json::parse(R"({"max_batch_size":16,"dynamic_batching":{},
    "input":[{"name":"input_layer","data_type":"TYPE_FP32","dims":[7]}],"output":[{"name":"dense","data_type":"TYPE_FP32","dims":[5]}]})"));
  end();
  model_.config = "{}";
  model_.completes = false;
  refuses(TRITONBACKEND_ModelInitialize(&model_), TRITONSERVER_ERROR_INVALID_ARG,
          "input 'input_layer': missing in the configuration");
  EXPECT_EQ(model_.config, "{}");
  model_.completes = true;
  model_.backend.config.text = R"({"cmdline":{"default-max-batch-size":"many"}})";
  refuses(TRITONBACKEND_ModelInitialize(&model_), TRITONSERVER_ERROR_INVALID_ARG, "default-max-batch-size: got 'many'");
}

TEST_F(TritonBackendTest, RefusesAbsentDevices) {
  TRITONBACKEND_ModelInstance other{&model_, TRITONSERVER_INSTANCEGROUPKIND_MODEL, 0, nullptr, {}};
  refuses(TRITONBACKEND_ModelInstanceInitialize(&other), TRITONSERVER_ERROR_INVALID_ARG,
          "got KIND_MODEL, allowed KIND_CPU, KIND_GPU");
  other.kind = TRITONSERVER_INSTANCEGROUPKIND_GPU;
  other.device = 4095;  // more than any machine has
  refuses(TRITONBACKEND_ModelInstanceInitialize(&other), TRITONSERVER_ERROR_INTERNAL, "E_DEVICE");
}

TEST_F(TritonBackendTest, AnEngineIsAnEngineOfTheInstancesDevice) {
  const auto with_engine = [&](const char* engine) {
    end();
    model_.config = std::string(R"({"parameters": {"engine": {"string_value": ")") + engine + R"("}}})";
    succeeds(TRITONBACKEND_ModelInitialize(&model_));
  };
  with_engine("small");
  succeeds(TRITONBACKEND_ModelInstanceInitialize(&instance_));
  with_engine("mma_gemm");  // of GPUs
  refuses(TRITONBACKEND_ModelInstanceInitialize(&instance_), TRITONSERVER_ERROR_INVALID_ARG,
          "engine: got 'mma_gemm', allowed on cpu");
  instance_.kind = TRITONSERVER_INSTANCEGROUPKIND_GPU;
  instance_.device = 4095;
  refuses(TRITONBACKEND_ModelInstanceInitialize(&instance_), TRITONSERVER_ERROR_INTERNAL, "E_DEVICE");
}

TEST_F(TritonBackendTest, SharesOneModelAmongInstancesAndNoticesAnotherFile) {
  end();
  succeeds(TRITONBACKEND_ModelInitialize(&model_));
  succeeds(TRITONBACKEND_ModelInstanceInitialize(&instance_));
  std::filesystem::copy_file(kFixtures + "graph/model.keras", folder_ / "1/model.keras",
                             std::filesystem::copy_options::overwrite_existing);
  TRITONBACKEND_ModelInstance second{&model_, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0, nullptr, {}};
  succeeds(TRITONBACKEND_ModelInstanceInitialize(&second));  // does not read the file again
  succeeds(TRITONBACKEND_ModelInstanceFinalize(&second));
  succeeds(TRITONBACKEND_ModelInstanceFinalize(&instance_));
  instance_.state = nullptr;
  refuses(TRITONBACKEND_ModelInstanceInitialize(&instance_), TRITONSERVER_ERROR_INVALID_ARG, "other inputs or outputs than when");
}

TEST(TritonVersionTest, RefusesServersOfOtherVersions) {
  TRITONBACKEND_Backend backend;
  succeeds(TRITONBACKEND_Initialize(&backend));
  FakeServer::minor = 18;
  refuses(TRITONBACKEND_Initialize(&backend), TRITONSERVER_ERROR_UNSUPPORTED,
          "the server has backend API 1.18, this backend needs 1.19");
  FakeServer::minor = TRITONBACKEND_API_VERSION_MINOR;
  FakeServer::major = 2;
  refuses(TRITONBACKEND_Initialize(&backend), TRITONSERVER_ERROR_UNSUPPORTED, "backend API 2.19");
  FakeServer::major = 1;
  FakeServer::minor = 30;
  succeeds(TRITONBACKEND_Initialize(&backend));
}

}  // namespace
}  // namespace lamella
