// SPDX-License-Identifier: Apache-2.0
// examples/cuda_stream.cpp on the test double: the example gives Keras' results and leaves nothing behind.
#define main example_main  // NOLINT: the program is a function here
#include "../../examples/cuda_stream.cpp"
#undef main

#include <sstream>

#include "cuda/cuda_support.hpp"

namespace lamella::test {
namespace {

class StreamExampleTest : public CudaTest {};

TEST_F(StreamExampleTest, PrintsTheFirstRowThatKerasPredicts) {
  std::string words[] = {"cuda_stream", mlp_path(), std::string(LAMELLA_SOURCE_DIR) + "/examples/models/mlp_input.npy"};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data()};
  testing::internal::CaptureStdout();
  const int status = example_main(3, argv);
  std::istringstream lines(testing::internal::GetCapturedStdout());
  ASSERT_EQ(status, 0);
  std::vector<float> printed;
  for (float value = 0; lines >> value;) printed.push_back(value);
  auto wanted = values_of(load_npy(std::string(LAMELLA_SOURCE_DIR) + "/examples/models/mlp_expected.npy"));
  wanted.resize(10);
  expect_near(printed, wanted);
}

TEST_F(StreamExampleTest, SaysWhatIsWrong) {
  std::string words[] = {"cuda_stream", "nowhere.keras", "nowhere.npy"};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data()};
  EXPECT_EQ(example_main(3, argv), 1);
  EXPECT_EQ(example_main(1, argv), 2);
}

}  // namespace
}  // namespace lamella::test
