// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <unistd.h>

#include <array>
#include <filesystem>
#include <lamella/lamella.hpp>
#include <utility>

#include "serving/fake_triton.hpp"

namespace lamella::test {

inline const std::string kFixtures = std::string(LAMELLA_FIXTURES) + "/keras3/";

inline void succeeds(TRITONSERVER_Error* error) { ASSERT_EQ(error, nullptr) << TRITONSERVER_ErrorMessage(error); }

inline void refuses(TRITONSERVER_Error* error, TRITONSERVER_Error_Code code, const char* words) {
  ASSERT_NE(error, nullptr) << "wanted: " << words;
  EXPECT_EQ(TRITONSERVER_ErrorCode(error), code);
  EXPECT_THAT(TRITONSERVER_ErrorMessage(error), testing::HasSubstr(words));
  TRITONSERVER_ErrorDelete(error);
}

/// A model repository with one fixture, served by one instance. The backend must return everything that the server gave it.
class TritonBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("lamella_triton_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_ / "1");
    model_.repository = folder_.string();
    instance_.model = &model_;
    serve("dense");
  }

  void TearDown() override {
    end();
    std::filesystem::remove_all(folder_);
    EXPECT_EQ(FakeServer::errors_alive, 0);
    EXPECT_EQ(FakeServer::responses_alive, 0);
    EXPECT_EQ(FakeServer::messages_alive, 0);
  }

  void serve(const std::string& fixture) {
    end();
    const std::string file = kFixtures + fixture + "/model.keras";
    std::filesystem::copy_file(file, folder_ / "1/model.keras", std::filesystem::copy_options::overwrite_existing);
    model_.config = "{}";
    succeeds(TRITONBACKEND_ModelInitialize(&model_));
    succeeds(TRITONBACKEND_ModelInstanceInitialize(&instance_));
  }

  void end() {
    if (instance_.state != nullptr) succeeds(TRITONBACKEND_ModelInstanceFinalize(&instance_));
    if (model_.state != nullptr) succeeds(TRITONBACKEND_ModelFinalize(&model_));
    instance_.state = model_.state = nullptr;
    instance_.batches.clear();
  }

  std::filesystem::path folder_;
  TRITONBACKEND_Model model_;
  TRITONBACKEND_ModelInstance instance_;
};

inline constexpr std::int64_t kFeatures = 7;

/// A request of the fixture "dense" for the first `rows` rows of x, in one piece.
inline TRITONBACKEND_Request request_for(const Tensor& x, std::int64_t rows) {
  TRITONBACKEND_Request request;
  const auto* const first = reinterpret_cast<const std::byte*>(x.data());
  std::vector<std::byte> bytes(first, first + rows * kFeatures * static_cast<std::int64_t>(sizeof(float)));
  request.inputs.push_back({"input_layer", TRITONSERVER_TYPE_FP32, {rows, kFeatures}, {std::move(bytes)}});
  request.outputs = {"dense"};
  return request;
}

class TritonRequestTest : public TritonBackendTest {
 protected:
  Tensor x_ = std::move(load_npz(kFixtures + "dense/arrays.npz").at("x"));
  Tensor wanted_ = std::move(load_npz(kFixtures + "dense/arrays.npz").at("y"));

  TRITONSERVER_Error* execute(std::vector<TRITONBACKEND_Request>& requests) {
    std::vector<TRITONBACKEND_Request*> handles;
    for (auto& request : requests) handles.push_back(&request);
    return TRITONBACKEND_ModelInstanceExecute(&instance_, handles.data(), static_cast<std::uint32_t>(handles.size()));
  }

  void expect_answered(const TRITONBACKEND_Request& request, std::int64_t rows) {
    EXPECT_EQ(request.error, "");
    EXPECT_THAT((std::array{request.sent, request.released, request.succeeded, request.failed}),
                testing::ElementsAre(1, 1, 1, 0));
    const TRITONBACKEND_Output& y = request.answers.at("dense");
    ASSERT_THAT(y.shape, testing::ElementsAre(rows, 5));
    const auto* const truth = static_cast<const float*>(wanted_.data());
    for (std::size_t i = 0; i < y.values.size(); ++i) EXPECT_NEAR(y.values[i], truth[i], 4e-6);
  }

  static void expect_refused(const TRITONBACKEND_Request& request, const char* words) {
    EXPECT_THAT(request.error, testing::HasSubstr(words));
    EXPECT_THAT((std::array{request.sent, request.released, request.succeeded, request.failed}),
                testing::ElementsAre(1, 1, 0, 1));
  }
};

}  // namespace lamella::test
