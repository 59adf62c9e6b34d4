// SPDX-License-Identifier: Apache-2.0
// Instances of the backend on a GPU, which is the test double of CUDA; the server is a double too.
#include "cuda/fake_backend.hpp"
#include "serving/triton_support.hpp"

namespace lamella {
namespace {

using test::refuses;
using test::request_for;
using test::succeeds;

class TritonCudaTest : public test::TritonRequestTest {
 protected:
  TritonCudaTest() { test::restart_cuda(); }
  ~TritonCudaTest() override {
    EXPECT_THAT(fake_cuda::misuses(), testing::IsEmpty());
    test::stop_cuda();
    EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{}) << "the backend leaks";
  }
  void SetUp() override {
    instance_.kind = TRITONSERVER_INSTANCEGROUPKIND_GPU;
    TritonRequestTest::SetUp();
  }
};

TEST_F(TritonCudaTest, AnswersAsOnTheCpu) {
  for (int call = 0; call < 4; ++call) {  // planned, captured, replayed
    std::vector requests{request_for(x_, 1), request_for(x_, 3), request_for(x_, 2)};
    succeeds(execute(requests));
    expect_answered(requests[0], 1);
    expect_answered(requests[1], 3);
    expect_answered(requests[2], 2);
  }
  EXPECT_GT(fake_cuda::count_calls("cudaGraphLaunch"), 0U) << "ran elsewhere";
}

TEST_F(TritonCudaTest, ADeviceThatDoesNotExistIsRefused) {
  TRITONBACKEND_ModelInstance other{&model_, TRITONSERVER_INSTANCEGROUPKIND_GPU, 99, nullptr, {}};
  refuses(TRITONBACKEND_ModelInstanceInitialize(&other), TRITONSERVER_ERROR_INTERNAL, "E_DEVICE");
}

/// A failing call to CUDA is the error of the requests that it hits, each of which is answered once; the next ones are served.
TEST_F(TritonCudaTest, AnswersEachRequestOnceWhicheverCallFails) {
  int refused = 0;
  bool struck = true;
  for (std::uint64_t n = 1; struck && n < 1000 && !HasFailure(); ++n) {
    end();
    serve("dense");
    std::vector requests{request_for(x_, 1), request_for(x_, 3)};
    fake_cuda::fail_nth(n, fake_cuda::Fault::forever);
    succeeds(execute(requests));
    struck = fake_cuda::fault_struck();
    fake_cuda::no_faults();
    for (const auto& request : requests) {
      const bool good = request.error.empty();
      good ? expect_answered(request, request.inputs[0].shape[0]) : expect_refused(request, "[cuda");
      refused += !good;
    }
    std::vector again{request_for(x_, 2)};
    succeeds(execute(again));
    expect_answered(again[0], 2);
  }
  EXPECT_FALSE(struck);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace lamella
