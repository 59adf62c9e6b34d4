// SPDX-License-Identifier: Apache-2.0
// Every test of the program starts with a fresh double and must leave nothing behind.
#include <gmock/gmock.h>

#include "cuda/fake_backend.hpp"

namespace lamella::test {
namespace {

class FreshWorld : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& info) override {
    // Seeds differ from test to test and are the same from run to run.
    auto options = fake_cuda::options_of_environment();
    options.seed =
        static_cast<unsigned>(std::char_traits<char>::length(info.name())) * 7919U + static_cast<unsigned>(info.line());
    restart_cuda(options);
  }
  void OnTestEnd(const testing::TestInfo&) override {
    EXPECT_THAT(fake_cuda::misuses(), testing::IsEmpty());
    stop_cuda();
    EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{}) << "the test leaks";
  }
};

const bool listening = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new FreshWorld);
  return true;
}();

}  // namespace
}  // namespace lamella::test
