// SPDX-License-Identifier: Apache-2.0
#pragma once

// Helpers for tests of models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <lamella/error.hpp>
#include <lamella/model.hpp>
#include <lamella/tensor.hpp>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace lamella::test {

/// Random float32 numbers of a standard normal distribution, reproducible by seed.
inline Tensor random_input(const Shape& shape, unsigned seed = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  Tensor x(shape);
  for (float& v : x.span<float>()) v = normal(random);
  return x;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

inline bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

/// A copy of every weight by name, without those whose names collide.
inline std::map<std::string, Tensor> values_of(const Model& model) {
  std::map<std::string, std::vector<TensorView>> named;
  const std::vector<LayerInfo> layers = model.layers();
  for (const LayerInfo& layer : layers) {
    for (const auto& [name, value] : layer.weights) named[layer.path + "/" + name].push_back(value);
  }
  std::map<std::string, Tensor> values;
  for (const auto& [name, found] : named) {
    const void* const first = found[0].data();
    const bool one = std::all_of(found.begin(), found.end(), [&](const TensorView& v) { return v.data() == first; });
    if (one) values.emplace(name, Tensor::copy_of(found[0]));
  }
  return values;
}

inline std::map<std::string, TensorView> views_of(const std::map<std::string, Tensor>& values) {
  return {values.begin(), values.end()};
}

/// Expects f() to throw an ArgumentError with this code and these words.
template <typename F>
void expect_error(ErrorCode code, const std::string& words, const F& f) {
  try {
    f();
    ADD_FAILURE() << "nothing was thrown; wanted: " << words;
  } catch (const ArgumentError& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    EXPECT_THAT(error.what(), ::testing::HasSubstr(words));
  }
}

}  // namespace lamella::test
