// SPDX-License-Identifier: Apache-2.0
#include "core/result_type.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

namespace lamella::core {
namespace {

constexpr std::array<std::string_view, 13> kNames{"float32", "float16", "bfloat16", "float64", "bool",   "int8",  "int16",
                                                  "int32",   "int64",   "uint8",    "uint16",  "uint32", "uint64"};

/// keras.backend.result_type(row, column) of Keras 3.15.1 on TensorFlow.
constexpr const char* kKeras[13][13] = {
    // clang-format off
    {"float32", "float32", "float32", "float64", "float32", "float32", "float32", "float32", "float32", "float32", "float32", "float32", "float32"},
    {"float32", "float16", "float32", "float64", "float16", "float16", "float16", "float16", "float16", "float16", "float16", "float16", "float16"},
    {"float32", "float32", "bfloat16", "float64", "bfloat16", "bfloat16", "bfloat16", "bfloat16", "bfloat16", "bfloat16", "bfloat16", "bfloat16", "bfloat16"},
    {"float64", "float64", "float64", "float64", "float64", "float64", "float64", "float64", "float64", "float64", "float64", "float64", "float64"},
    {"float32", "float16", "bfloat16", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint32"},
    {"float32", "float16", "bfloat16", "float64", "int8", "int8", "int16", "int32", "int64", "int16", "int32", "int64", "float32"},
    {"float32", "float16", "bfloat16", "float64", "int16", "int16", "int16", "int32", "int64", "int16", "int32", "int64", "float32"},
    {"float32", "float16", "bfloat16", "float64", "int32", "int32", "int32", "int32", "int64", "int32", "int32", "int64", "float32"},
    {"float32", "float16", "bfloat16", "float64", "int64", "int64", "int64", "int64", "int64", "int64", "int64", "int64", "float32"},
    {"float32", "float16", "bfloat16", "float64", "uint8", "int16", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint32"},
    {"float32", "float16", "bfloat16", "float64", "uint16", "int32", "int32", "int32", "int64", "uint16", "uint16", "uint32", "uint32"},
    {"float32", "float16", "bfloat16", "float64", "uint32", "int64", "int64", "int64", "int64", "uint32", "uint32", "uint32", "uint32"},
    {"float32", "float16", "bfloat16", "float64", "uint32", "float32", "float32", "float32", "float32", "uint32", "uint32", "uint32", "uint32"},
    // clang-format on
};

TEST(ResultTypeTest, IsKerasResultForEveryPair) {
  for (std::size_t a = 0; a < kNames.size(); ++a) {
    for (std::size_t b = 0; b < kNames.size(); ++b)
      EXPECT_EQ(to_string(result_type(dtype_of(kNames[a]), dtype_of(kNames[b]))), kKeras[a][b]) << kNames[a] << ' ' << kNames[b];
  }
}

TEST(ResultTypeTest, CombinesSeveralTypes) {
  // uint64 and a signed integer give float32, or the floating type if there is one.
  EXPECT_EQ(result_type(std::array{DType::bfloat16, DType::int64, DType::uint64}), DType::bfloat16);
  EXPECT_EQ(result_type(std::array{DType::int64, DType::uint64, DType::float16, DType::int8}), DType::float16);
  EXPECT_EQ(result_type(std::array{DType::uint8, DType::int8, DType::uint16}), DType::int32);
  EXPECT_EQ(result_type(std::array{DType::int16}), DType::int16);
}

}  // namespace
}  // namespace lamella::core
