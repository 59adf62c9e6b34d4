// SPDX-License-Identifier: Apache-2.0
#pragma once

// Helpers for tests of the C interface.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <lamella/lamella.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <lamella/model.hpp>
#include <lamella/npy.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace lamella::test {

using ::testing::HasSubstr;

inline const std::string kFixtures = std::string(LAMELLA_FIXTURES) + "/keras3/";

inline Tensor array_of(const std::string& file, const std::string& name) { return std::move(load_npz(file).at(name)); }

/// Fails the test with the message of an error, which it frees.
inline void ok(lamella_error* error) {
  EXPECT_EQ(error, nullptr) << lamella_error_message(error);
  lamella_error_free(error);
}

inline void refused(lamella_error* error, const char* code, const char* words) {
  ASSERT_NE(error, nullptr) << "wanted: " << words;
  EXPECT_STREQ(lamella_error_code(error), code);
  EXPECT_THAT(lamella_error_message(error), HasSubstr(words));
  EXPECT_THAT(lamella_error_message(error), HasSubstr(code));
  lamella_error_free(error);
}

struct Freed {
  void operator()(lamella_model* model) const { lamella_model_free(model); }
  void operator()(lamella_options* options) const { lamella_options_free(options); }
};
using ModelHandle = std::unique_ptr<lamella_model, Freed>;

inline ModelHandle loaded(const std::string& fixture, const char* device = "cpu", const char* updatable = "false") {
  lamella_options* options = nullptr;
  ok(lamella_options_create(&options));
  ok(lamella_options_set(options, "device", device));
  ok(lamella_options_set(options, "updatable", updatable));
  lamella_model* model = nullptr;
  ok(lamella_model_load((kFixtures + fixture + "/model.keras").c_str(), options, &model));
  lamella_options_free(options);
  return ModelHandle(model);
}

/// A lamella_tensor over a Tensor's memory.
struct Described {
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  lamella_tensor tensor{};

  explicit Described(Tensor& of) : shape(of.shape().begin(), of.shape().end()) {
    tensor = {sizeof(lamella_tensor), of.data(), LAMELLA_FLOAT32, of.shape().rank(), shape.data(), nullptr, LAMELLA_CPU, 0};
  }
  Described(const Described&) = delete;
  Described& operator=(const Described&) = delete;
  ~Described() = default;
};

/// The arrays of a call of the fixture "graph", which has two inputs and two outputs, and what the C++ interface answers.
struct TwoByTwo {
  Tensor a = array_of(kFixtures + "graph/arrays.npz", "x_a");
  Tensor b = array_of(kFixtures + "graph/arrays.npz", "x_b");
  const std::vector<Tensor> wanted =
      Model::load(kFixtures + "graph/model.keras", {.device = Device::cpu()}).predict(std::array<TensorView, 2>{a, b});
  Tensor y{wanted[0].shape()};
  Tensor z{wanted[1].shape()};
  const Described in_a{a};
  const Described in_b{b};
  const Described out_y{y};
  const Described out_z{z};
};

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

}  // namespace lamella::test
