// SPDX-License-Identifier: Apache-2.0
// Kernels in the forms and types that no other test uses, so that some test executes each kernel that nvcc made.
#include <numeric>

#include "tests/kernels/quantized_support.hpp"

namespace lamella::test {
namespace {

constexpr std::array kIntegers = {DType::int8,  DType::uint8,  DType::int16, DType::uint16,
                                  DType::int32, DType::uint32, DType::int64, DType::uint64};

/// first, first + 1, ...: enough elements for whole packs and a rest.
std::vector<double> ascending(double first, std::size_t elements = 37) {
  std::vector<double> values(elements);
  std::iota(values.begin(), values.end(), first);
  return values;
}
bool is_signed(DType dtype) {
  return dtype == DType::int8 || dtype == DType::int16 || dtype == DType::int32 || dtype == DType::int64;
}

TEST(FormsTest, EveryIntegerBecomesEveryOtherType) {
  for (const DType from : kIntegers) {
    const std::vector<double> values = ascending(is_signed(from) ? -18 : 0);
    Buffer src(values, from, true);
    for (const DType to : kFloating) {
      Buffer dst(37, to, true);
      ASSERT_EQ(kernels::cast(from, to, src.data(), dst.data(), 37, nullptr), cudaSuccess);
      EXPECT_EQ(dst.values(), values) << to_string(from) << " to " << to_string(to);
    }
    for (const DType to : kIntegers) {
      Buffer dst(37, to, true);
      ASSERT_EQ(kernels::cast_to_integer(from, to, src.data(), dst.data(), 37, nullptr), cudaSuccess);
      const double modulus = std::ldexp(1.0, static_cast<int>(8 * size_of(to)));
      std::vector<double> wanted = values;
      for (double& value : wanted) value = value < 0 && !is_signed(to) ? value + modulus : value;
      EXPECT_EQ(dst.values(), wanted) << to_string(from) << " to " << to_string(to);
    }
  }
}

TEST(FormsTest, ReluAndSumsOfEveryInteger) {
  for (const DType dtype : kIntegers) {
    const std::vector<double> values = ascending(is_signed(dtype) ? -18 : 0);
    Buffer src(values, dtype, true);
    Buffer dst(37, dtype, true);
    ASSERT_EQ(kernels::elementwise({ActivationKind::Relu}, dtype, src.data(), dst.data(), 37, nullptr), cudaSuccess);
    kernels::CombineSource source{.data = src.data(), .strides = {1}};
    const std::array sources = {source, source};
    Buffer sums(37, dtype, true);
    ASSERT_EQ(kernels::combine({.dtype = dtype, .sources = sources, .dst = sums.data(), .axes = 1, .shape = {37}}, nullptr),
              cudaSuccess);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(dst[i], std::max(values[i], 0.0)) << to_string(dtype);
      ASSERT_EQ(sums[i], 2 * values[i]) << to_string(dtype);
    }
  }
}

TEST(FormsTest, ReversesElementsOfEverySize) {
  for (const DType dtype : {DType::uint8, DType::uint16, DType::uint32, DType::uint64}) {
    std::vector<double> values = ascending(1);
    Buffer src(values, dtype);
    Buffer dst(37, dtype);
    const kernels::StridedCopy args{.element_bytes = static_cast<int>(size_of(dtype)),
                                    .src = static_cast<unsigned char*>(src.data()) + 36 * size_of(dtype),
                                    .dst = dst.data(),
                                    .axes = 1,
                                    .shape = {37},
                                    .strides = {-1}};
    ASSERT_EQ(kernels::strided_copy(args, nullptr), cudaSuccess);
    std::reverse(values.begin(), values.end());
    EXPECT_EQ(dst.values(), values) << to_string(dtype);
  }
}

TEST(FormsTest, CountsEveryIndexIntoEveryType) {
  const std::vector<double> numbers = {0, 2, 2, 3, 1, 2, -1, 4};
  const std::vector<double> counts = {1, 0, 2, 1, 0, 1, 1, 0};  // for each of two rows, how often 0 to 3 occur
  for (const DType dtype : kFloating) {
    for (const DType index : {DType::int32, DType::int64, DType::float32, DType::float64}) {
      Buffer src(numbers, index);
      Buffer dst(8, dtype);
      ASSERT_EQ(kernels::count(
                    {.dtype = dtype, .index = index, .src = src.data(), .dst = dst.data(), .outer = 2, .length = 4, .depth = 4},
                    nullptr),
                cudaSuccess);
      EXPECT_EQ(dst.values(), counts) << to_string(dtype) << ' ' << to_string(index);
    }
  }
}

TEST(FormsTest, RoundsToFloat8AndBack) {
  const std::vector<double> values = {0.5, -1, 17, 19, 1000, -1000, 0, 3.25, 240};
  const std::vector<double> wanted = {0.5, -1, 16, 20, 448, -448, 0, 3.25, 240};
  for (const DType dtype : kFloating) {
    Buffer data(values, dtype, true);
    ASSERT_EQ(kernels::through_float8(dtype, data.data(), data.data(), 9, 1, nullptr), cudaSuccess);
    EXPECT_EQ(data.values(), wanted) << to_string(dtype);
  }
}

TEST(FormsTest, PReluWithANumberForEachRow) {
  const std::vector<double> alpha = {0.5, 0.25, -2};
  const std::vector<double> x = ascending(-48, 2 * 3 * 16);
  for (const DType dtype : kFloating) {
    Buffer src(x, dtype, true);
    Buffer alphas(alpha, compute_of(dtype), true);
    ASSERT_EQ(kernels::prelu(dtype, src.data(), src.data(), {2, 2, {3, 16}}, {alphas.data(), {1, 0}}, nullptr), cudaSuccess);
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(src[i], x[i] > 0 ? x[i] : alpha[i / 16 % 3] * x[i]) << to_string(dtype);
  }
}

TEST(FormsTest, SoftmaxOfRowsTooLongForABlock) {
  for (const DType dtype : kFloating) {
    const std::vector<double> x = random_values(8193, 5, dtype);
    const double total = std::accumulate(x.begin(), x.end(), 0.0, [](double sum, double value) { return sum + std::exp(value); });
    for (const bool logarithm : {false, true}) {
      Buffer src(x, dtype);
      const ActivationKind kind = logarithm ? ActivationKind::LogSoftmax : ActivationKind::Softmax;
      ASSERT_EQ(kernels::rowwise({kind, dtype, src.data(), src.data(), nullptr, 1, 8193, 1}, nullptr), cudaSuccess);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double wanted = logarithm ? x[i] - std::log(total) : std::exp(x[i]) / total;
        ASSERT_TRUE(is_rounded(src[i], wanted, dtype, 1e-5 * std::fabs(wanted))) << to_string(dtype) << ' ' << i;
      }
    }
  }
}

/// Integers that quantization does not change.
TEST(FormsTest, QuantizedDenseInEveryType) {
  constexpr std::int64_t kInputs = 5;
  constexpr std::int64_t kUnits = 3;
  const std::vector<double> x = {127, -3, 0, 8, -120};
  for (const bool int4 : {false, true}) {
    std::vector<int> weights(kInputs * kUnits);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<int>(i) % 15 - 7;
    Buffer packed(bytes_of({kInputs, kUnits, int4}, weights), DType::uint8, true);
    for (const DType dtype : kFloating) {
      Buffer src(x, dtype);
      Buffer scale({2, 4, 8}, compute_of(dtype));
      Buffer dst(kUnits, dtype);
      kernels::QuantizedDense args;
      args.dtype = dtype;
      args.int4 = int4;
      args.quantizes = true;
      args.epsilon = 0;
      args.batch = 1;
      args.inputs = kInputs;
      args.units = kUnits;
      args.src = src.data();
      args.weights = packed.data();
      args.scale = scale.data();
      args.dst = dst.data();
      Buffer workspace(static_cast<std::int64_t>(kernels::quantized_dense_workspace(args)), DType::uint8, true);
      args.workspace = workspace.data();
      ASSERT_EQ(kernels::quantized_dense(args, nullptr), cudaSuccess);
      for (std::int64_t u = 0; u < kUnits; ++u) {
        double sum = 0;
        for (std::int64_t i = 0; i < kInputs; ++i)
          sum += x[static_cast<std::size_t>(i)] * weights[static_cast<std::size_t>(i * kUnits + u)];
        const double wanted = sum / std::ldexp(1.0, static_cast<int>(u) + 1);
        ASSERT_TRUE(is_rounded(dst[static_cast<std::size_t>(u)], wanted, dtype, spacing(dtype, wanted)))
            << to_string(dtype) << ' ' << u;
      }
    }
  }
}

}  // namespace
}  // namespace lamella::test
