// SPDX-License-Identifier: Apache-2.0
// What a CUDA device makes lamella log.
#include <lamella/log.hpp>

#include <string>
#include <utility>
#include <vector>

#include "cuda/cuda_support.hpp"

namespace lamella::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

class CudaLogTest : public CudaTest {
 protected:
  CudaLogTest() {
    set_log_function([this](LogLevel level, std::string_view message) { messages_.emplace_back(level, message); });
  }
  ~CudaLogTest() override { set_log_function({}); }
  std::vector<std::pair<LogLevel, std::string>> messages_;
};

TEST_F(CudaLogTest, WarnsOfADeviceThatIsLost) {
  {
    const Model model = model_of(small_spec(), on_cuda());
    const Tensor x = random_rows(3, 7);
    static_cast<void>(model.predict(x));
    EXPECT_THAT(messages_, Contains(Pair(LogLevel::info, HasSubstr("is made for cuda:0"))));
    fake_cuda::fail_nth("kernel", 1, fake_cuda::Fault::sticky);
    EXPECT_THROW(static_cast<void>(model.predict(x)), DeviceError);
    EXPECT_THAT(messages_,
                Contains(Pair(LogLevel::warning, AllOf(HasSubstr("cuda:0 is lost"), HasSubstr("cudaErrorIllegalAddress")))));
  }
  restart_cuda();
}

TEST_F(CudaLogTest, TellsOfGraphsThatAreDroppedOrNotCaptured) {
  const Model model = model_of(small_spec(), on_cuda());
  for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(random_rows(4, 7)));
  ASSERT_EQ(model.stats().graphs, 1);
  static_cast<void>(model.predict(random_rows(300, 7)));
  EXPECT_EQ(model.stats().graphs, 0);
  EXPECT_THAT(messages_, Contains(Pair(LogLevel::info, HasSubstr("dropping 1 CUDA graph, because "))));
  fake_cuda::fail_nth("cudaStreamEndCapture", 1, fake_cuda::Fault::once);
  for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(random_rows(4, 7)));
  EXPECT_THAT(messages_, Contains(Pair(LogLevel::warning,
                                       AllOf(HasSubstr("calls of 4 rows run step by step"), HasSubstr("cudaStreamEndCapture")))));
}

}  // namespace
}  // namespace lamella::test
