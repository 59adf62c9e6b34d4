// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <lamella/model.hpp>
#include <lamella/npy.hpp>
#include <string>
#include <vector>

#include "cuda/fake_backend.hpp"
#include "model/spec_builder.hpp"

namespace lamella::test {

/// A test that starts with a fresh double and must leave nothing behind.
class CudaTest : public testing::Test {
 protected:
  CudaTest() { restart_cuda(); }
  ~CudaTest() override {
    EXPECT_THAT(fake_cuda::misuses(), testing::IsEmpty());
    stop_cuda();
    EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{}) << "the test leaks";
  }
};

[[nodiscard]] inline std::string mlp_path() { return std::string(LAMELLA_SOURCE_DIR) + "/examples/models/mlp.keras"; }

[[nodiscard]] inline Options on_cuda(int device = 0) {
  Options options;
  options.device = Device::cuda(device);
  return options;
}

/// Two Dense layers of awkward sizes and a log_softmax; one layer is too wide for a stack, and no stack ends in a log_softmax, so
/// the steps are products, an epilogue and a row-wise step. Input (., 7), output (., 5).
[[nodiscard]] inline std::shared_ptr<const core::ModelSpec> small_spec(unsigned seed = 1) {
  SpecBuilder builder(seed);
  const auto x = builder.input({7});
  const auto hidden = builder.dense(x, 7, 133, activation_of("gelu"));
  return builder.build({builder.activation(builder.dense(hidden, 133, 5), activation_of("log_softmax"))});
}

[[nodiscard]] inline Tensor random_rows(std::int64_t rows, std::int64_t width, unsigned seed = 1) {
  Tensor x({rows, width});
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  for (float& value : x.span<float>()) value = normal(generator);
  return x;
}

[[nodiscard]] inline std::vector<float> values_of(const Tensor& tensor) {
  const auto span = tensor.span<float>();
  return {span.begin(), span.end()};
}

/// The model's results on the CPU, for a coarse check; other tests check accuracy against float64.
inline void expect_near(const std::vector<float>& found, const std::vector<float>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], wanted[i], 1e-5) << i;
}

}  // namespace lamella::test
