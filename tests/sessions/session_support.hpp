// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <lamella/lamella.hpp>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "device/test_device.hpp"
#include "sessions/callers_stream.hpp"

namespace lamella::test {

/// Dense layers, a folded BatchNormalization, PReLU and a softmax: products, epilogues, an element-wise and a row-wise step.
inline const std::string kModel = LAMELLA_FIXTURES "/keras3/zip_reordered/";
inline constexpr std::int64_t kInputs = 7;
inline constexpr std::int64_t kOutputs = 3;

struct Truth {
  std::map<std::string, Tensor> arrays = load_npz(kModel + "arrays.npz");
  const Tensor& x = arrays.at("x");
  const Tensor& y = arrays.at("y");
};

inline const Truth& truth() {
  static const Truth truth;
  return truth;
}

/// Row i is row (first + i) of the array, modulo its number of rows.
inline Tensor rows_of(const Tensor& all, std::int64_t rows, std::int64_t first = 0) {
  const std::int64_t width = all.shape()[1];
  Tensor some({rows, width});
  const auto from = all.span<float>();
  for (std::int64_t i = 0; i < rows; ++i)
    std::copy_n(from.begin() + (first + i) % all.shape()[0] * width, width, some.span<float>().begin() + i * width);
  return some;
}

inline std::vector<float> values_of(const Tensor& tensor) {
  const Tensor host = tensor.to(Device::cpu());
  return {host.span<float>().begin(), host.span<float>().end()};
}

inline void expect_keras(const Tensor& found, std::int64_t first = 0) {
  ASSERT_EQ(found.shape().rank(), 2);
  const auto wanted = values_of(rows_of(truth().y, found.shape()[0], first));
  const auto values = values_of(found);
  ASSERT_EQ(values.size(), wanted.size());
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], wanted[i], 1e-5) << i;
}

inline Model load(Options options = {}) {
  options.device = device();
  return Model::load(kModel + "model.keras", options);
}

inline Tensor poisoned(std::int64_t rows, std::int64_t width) {
  Tensor tensor({rows, width});
  std::fill(tensor.span<float>().begin(), tensor.span<float>().end(), std::numeric_limits<float>::quiet_NaN());
  return tensor.to(device());
}

inline constexpr std::size_t kSlack = std::size_t{8} << 20U;  // a driver keeps memory for itself in blocks of 2 MiB

inline std::size_t free_memory() {
  std::size_t free = 0;
  std::size_t total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  return free;
}

}  // namespace lamella::test
