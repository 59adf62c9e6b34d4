// SPDX-License-Identifier: Apache-2.0
#include "kernels/dequantized_mma.hpp"
#include "tests/kernels/quantized_support.hpp"

/// Quantized layers that do not quantize their rows, against sums in float64 of the weights that Keras computes.
namespace lamella::test {
namespace {

struct Layer {
  DType dtype = DType::float32;
  bool int4 = false;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  std::int64_t group_size = 0;  ///< 0: no groups
  bool shuffled = false;        ///< inputs in any order among groups
  bool input_scale = false;
  bool bias = true;
  ActivationKind activation = ActivationKind::Linear;
  bool mma = false;  ///< by dequantized_mma()
  bool aligned = false;

  [[nodiscard]] std::int64_t groups() const { return group_size == 0 ? 0 : (inputs + group_size - 1) / group_size; }
};

struct Data {
  std::vector<double> x, scale, zero, input_scale, bias;
  std::vector<int> q, group;
};

Data random_data(const Layer& c) {
  const std::int64_t scales = std::max<std::int64_t>(c.groups(), 1) * c.units;
  Data data{random_values(c.batch * c.inputs, 1, c.dtype),
            random_values(scales, 2, c.dtype),
            std::vector<double>(static_cast<std::size_t>(scales)),
            random_values(c.inputs, 3, c.dtype),
            random_values(c.units, 4, c.dtype),
            random_integers(c.inputs * c.units, c.int4, 5),
            std::vector<int>(static_cast<std::size_t>(c.inputs))};
  std::mt19937 generator(6);
  const std::vector<int> zeros = random_integers(scales, c.int4, 7);
  data.zero.assign(zeros.begin(), zeros.end());
  for (std::size_t i = 0; c.group_size > 0 && i < data.group.size(); ++i)
    data.group[i] = static_cast<int>(static_cast<std::int64_t>(i) / c.group_size);
  if (c.shuffled) std::shuffle(data.group.begin(), data.group.end(), generator);
  for (auto* numbers : {&data.scale, &data.input_scale}) {
    for (double& number : *numbers) number = std::fabs(number) + 0.5;
    *numbers = Buffer(*numbers, c.dtype).values();
  }
  return data;
}

std::vector<double> run(const Layer& c, const Data& data) {
  const DType compute = compute_of(c.dtype);
  std::vector<double> groups;
  for (std::int64_t i = 0; i < c.inputs; i += kernels::kRunInputs) {
    const auto first = data.group.begin() + i;
    const auto last = data.group.begin() + std::min(c.inputs, i + kernels::kRunInputs);
    groups.push_back(std::all_of(first, last, [&](int g) { return g == *first; }) ? *first : -1);
  }
  Buffer src(data.x, c.dtype, c.aligned);
  Buffer weights(bytes_of({c.inputs, c.units, c.int4}, data.q), DType::uint8, true);
  Buffer scale(data.scale, compute);
  Buffer zero(data.zero, compute);
  groups.insert(groups.end(), data.group.begin(), data.group.end());
  Buffer group(groups, DType::int32);
  Buffer input_scale(data.input_scale, compute);
  Buffer bias(data.bias, compute);
  Buffer dst(c.batch * c.units, c.dtype);
  const kernels::QuantizedDense args{.activation = {c.activation},
                                     .dtype = c.dtype,
                                     .int4 = c.int4,
                                     .batch = c.batch,
                                     .inputs = c.inputs,
                                     .units = c.units,
                                     .groups = c.groups(),
                                     .src = src.data(),
                                     .weights = weights.data(),
                                     .scale = scale.data(),
                                     .zero = c.group_size > 0 ? zero.data() : nullptr,
                                     .group = c.group_size > 0 ? group.data() : nullptr,
                                     .input_scale = c.input_scale ? input_scale.data() : nullptr,
                                     .bias = c.bias ? bias.data() : nullptr,
                                     .dst = dst.data()};
  EXPECT_EQ(kernels::quantized_dense_workspace(args), 0U);
  EXPECT_EQ(c.mma ? kernels::dequantized_mma(args, nullptr) : kernels::quantized_dense(args, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  return dst.values();
}

std::vector<double> weights_of(const Layer& c, const Data& data) {
  std::vector<double> weights(data.q.begin(), data.q.end());
  if (c.group_size == 0) return weights;
  for (std::int64_t i = 0; i < c.inputs; ++i) {
    for (std::int64_t u = 0; u < c.units; ++u) {
      double& w = weights[at(i, c.units, u)];
      const std::size_t number = at(data.group[static_cast<std::size_t>(i)], c.units, u);
      w = (w - data.zero[number]) * data.scale[number];
    }
  }
  weights = Buffer(weights, c.dtype).values();
  if (!c.input_scale) return weights;
  for (std::size_t n = 0; n < weights.size(); ++n) weights[n] /= data.input_scale[n / static_cast<std::size_t>(c.units)];
  return Buffer(weights, c.dtype).values();
}

bool has_tensor_cores() {
  int architecture = 0;
  EXPECT_EQ(kernels::has_image(architecture), cudaSuccess);
  return architecture >= kernels::kMmaArchitecture;
}

void check(const Layer& c) {
  const Data data = random_data(c);
  const std::vector<double> y = run(c, data);
  const std::vector<double> weights = weights_of(c, data);
  const double unit = c.dtype == DType::float64 ? 0x1p-53 : c.mma ? 0x1p-23 : 0x1p-24;
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t u = 0; u < c.units; ++u) {
      double sum = 0;
      double size = 0;
      for (std::int64_t i = 0; i < c.inputs; ++i) {
        const double product = data.x[at(b, c.inputs, i)] * weights[at(i, c.units, u)];
        sum += product;
        size += std::fabs(product);
      }
      const double scale = c.group_size == 0 ? data.scale[static_cast<std::size_t>(u)] : 1;
      const double bias = c.bias ? data.bias[static_cast<std::size_t>(u)] : 0;
      sum = sum / scale + bias;
      size = size / scale + std::fabs(bias);
      const double wanted = c.activation == ActivationKind::Relu ? std::max(sum, 0.0) : sum;
      ASSERT_TRUE(is_rounded(y[at(b, c.units, u)], wanted, c.dtype, static_cast<double>(c.inputs + 4) * unit * size))
          << to_string(c.dtype) << (c.int4 ? " int4 " : " int8 ") << c.batch << " x " << c.inputs << " x " << c.units
          << ", groups of " << c.group_size << (c.shuffled ? " shuffled" : "") << " at " << b << ", " << u << ": " << wanted
          << ", got " << y[at(b, c.units, u)];
    }
  }
}

/// On tensor cores too, where they can be used.
void check_both(Layer c) {
  check(c);
  c.mma = size_of(c.dtype) == 2 && has_tensor_cores();
  if (c.mma) check(c);
}

TEST(DequantizedGemmTest, IsRightInAnyShape) {
  int n = 0;
  for (const std::int64_t batch : {0, 1, 2, 4, 5, 8, 9, 70}) {
    for (const std::int64_t inputs : {1, 5, 16, 31, 63, 64, 65, 131}) {
      for (const std::int64_t units : {0, 1, 15, 16, 17, 67}) {
        ++n;
        check_both({.dtype = kFloating[static_cast<std::size_t>(n) % 4],
                    .int4 = n / 4 % 2 == 0,
                    .batch = batch,
                    .inputs = inputs,
                    .units = units,
                    .group_size = n % 3 == 0   ? 0
                                  : n % 3 == 1 ? 16
                                               : 1 + n % 7,
                    .bias = n % 5 != 0,
                    .activation = n % 2 == 0 ? ActivationKind::Relu : ActivationKind::Linear});
      }
    }
  }
  check_both({.dtype = DType::float32, .batch = 3, .inputs = 0, .units = 5});
}

TEST(DequantizedGemmTest, TakesAnyGroupsAndScalesOfInputs) {
  for (const DType dtype : kFloating) {
    for (const bool int4 : {false, true}) {
      for (const std::int64_t batch : {1, 3, 11}) {
        for (const std::int64_t size : {1, 16, 20, 32, 128, 1000}) {
          const bool odd = (batch + size) % 2 != 0;
          check_both({.dtype = dtype,
                      .int4 = int4,
                      .batch = batch,
                      .inputs = 300,
                      .units = 21,
                      .group_size = size,
                      .shuffled = odd,
                      .input_scale = size != 32});
        }
      }
    }
  }
}

/// More chunks than a warp's stages hold.
TEST(DequantizedGemmTest, IsRightForManyInputs) {
  for (const DType dtype : kFloating) {
    for (const bool int4 : {false, true}) {
      for (const std::int64_t size : {0, 128, 100}) {
        check_both({.dtype = dtype, .int4 = int4, .batch = 1, .inputs = 5000, .units = 18, .group_size = size});
        check_both({.dtype = dtype, .int4 = int4, .batch = 6, .inputs = 4096, .units = 16, .group_size = size});
      }
    }
  }
}

/// 32 blocks of 32 x 64 results or more.
TEST(DequantizedMmaTest, IsRightForManyRows) {
  if (!has_tensor_cores()) GTEST_SKIP() << "these kernels trap below compute capability 8.0";
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    for (const bool int4 : {false, true}) {
      for (const bool aligned : {false, true}) {
        check({.dtype = dtype,
               .int4 = int4,
               .batch = 40,
               .inputs = 72,
               .units = 1030,
               .group_size = 16,
               .mma = true,
               .aligned = aligned});
        check({.dtype = dtype, .int4 = int4, .batch = 1010, .inputs = 600, .units = 5, .mma = true, .aligned = aligned});
        check({.dtype = dtype,
               .int4 = int4,
               .batch = 1001,
               .inputs = 7,
               .units = 3,
               .group_size = 3,
               .input_scale = true,
               .mma = true,
               .aligned = aligned});
      }
    }
  }
}

TEST(DequantizedGemmTest, ARowHasTheSameBitsInEveryBatch) {
  for (const DType dtype : kFloating) {
    for (const bool mma : {false, true}) {
      if (mma && (size_of(dtype) != 2 || !has_tensor_cores())) continue;
      Layer c{.dtype = dtype, .int4 = true, .batch = 40, .inputs = 700, .units = 1030, .group_size = 64, .mma = mma};
      const Data data = random_data(c);
      const std::vector<double> all = run(c, data);
      for (const std::int64_t batch : {1, 3, 9}) {
        c.batch = batch;
        Data part = data;
        part.x.resize(static_cast<std::size_t>(batch * c.inputs));
        EXPECT_EQ(run(c, part), std::vector<double>(all.begin(), all.begin() + batch * c.units)) << batch;
      }
    }
  }
}

TEST(DequantizedGemmTest, NaNAndInfinityStayInTheirRowAndUnit) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Layer c{.dtype = DType::float32, .batch = 5, .inputs = 70, .units = 19, .group_size = 16};
  Data data = random_data(c);
  data.x[at(1, c.inputs, 69)] = kInf;
  data.x[at(2, c.inputs, 3)] = std::nan("");
  data.scale[at(4, c.units, 18)] = kInf;  // of the last inputs, after which there is padding
  data.q[at(64, c.units, 18)] = 1;
  data.zero[at(4, c.units, 18)] = 0;
  for (std::int64_t i = 64; i < 70; ++i) data.q[at(i, c.units, 18)] = 1;
  for (std::int64_t i = 64; i < 70; ++i) data.x[at(0, c.inputs, i)] = 1;
  const std::vector<double> y = run(c, data);
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t u = 0; u < c.units; ++u) {
      const double got = y[at(b, c.units, u)];
      if (b == 2) {
        EXPECT_TRUE(std::isnan(got)) << u;
      } else if (b == 1 || u == 18) {
        EXPECT_FALSE(std::isfinite(got)) << b << ' ' << u;
      } else {
        EXPECT_TRUE(std::isfinite(got)) << b << ' ' << u;
      }
    }
  }
  EXPECT_EQ(y[at(0, c.units, 18)], kInf);
}

TEST(DequantizedGemmTest, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float32, true);
  const kernels::QuantizedDense args{.activation = {},
                                     .batch = 1,
                                     .inputs = 4,
                                     .units = 4,
                                     .src = memory.data(),
                                     .weights = memory.data(),
                                     .scale = memory.data(),
                                     .dst = memory.data()};
  const auto refused = [&](auto change) {
    kernels::QuantizedDense bad = args;
    change(bad);
    return kernels::quantized_dense(bad, nullptr) == cudaErrorInvalidValue;
  };
  kernels::QuantizedDense narrow = args;
  EXPECT_EQ(kernels::dequantized_mma(narrow, nullptr), cudaErrorInvalidValue);  // float32
  narrow.dtype = DType::float16;
  narrow.quantizes = true;
  EXPECT_EQ(kernels::dequantized_mma(narrow, nullptr), cudaErrorInvalidValue);
  EXPECT_TRUE(refused([](auto& a) { a.weights = static_cast<const char*>(a.weights) + 8; }));
  EXPECT_TRUE(refused([](auto& a) { a.inputs = kernels::kMostSmallBatchInputs + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.activation.kind = ActivationKind::Softmax; }));
}

}  // namespace
}  // namespace lamella::test
