// SPDX-License-Identifier: Apache-2.0
#include <cfenv>

#include "tests/kernels/quantized_support.hpp"

/// Quantized layers that quantize their rows, in every tile of the product, against Keras' arithmetic to the last bit.
namespace lamella::test {
namespace {

struct Layer {
  DType dtype = DType::float32;
  bool int4 = false;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  bool bias = true;
  bool aligned = false;  ///< src and dst; else to one element and no more
  ActivationKind activation = ActivationKind::Linear;
};

struct Data {
  std::vector<double> x, scale, bias;
  std::vector<int> q;
};

Data random_data(const Layer& c) {
  Data data{random_values(c.batch * c.inputs, 1, c.dtype), random_values(c.units, 2, c.dtype), random_values(c.units, 3, c.dtype),
            random_integers(c.inputs * c.units, c.int4, 4)};
  for (double& scale : data.scale) scale = std::fabs(scale) + 1;
  data.scale = Buffer(data.scale, c.dtype).values();
  return data;
}

std::vector<double> run(const Layer& c, const Data& data) {
  Buffer src(data.x, c.dtype, c.aligned);
  Buffer weights(bytes_of({c.inputs, c.units, c.int4}, data.q), DType::uint8, true);
  Buffer scale(data.scale, compute_of(c.dtype));
  Buffer bias(data.bias, compute_of(c.dtype));
  Buffer dst(c.batch * c.units, c.dtype, c.aligned);
  kernels::QuantizedDense args{.activation = {c.activation},
                               .dtype = c.dtype,
                               .int4 = c.int4,
                               .quantizes = true,
                               .batch = c.batch,
                               .inputs = c.inputs,
                               .units = c.units,
                               .src = src.data(),
                               .weights = weights.data(),
                               .scale = scale.data(),
                               .bias = c.bias ? bias.data() : nullptr,
                               .dst = dst.data()};
  Buffer workspace(static_cast<std::int64_t>(kernels::quantized_dense_workspace(args)), DType::uint8, true);
  args.workspace = workspace.data();
  EXPECT_EQ(kernels::quantized_dense(args, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  EXPECT_TRUE(workspace.guarded());
  return dst.values();
}

/// C is the compute type; every operation is rounded to the layer's.
template <typename C>
void expect_bits(const Layer& c, const Data& data, const std::vector<double>& y) {
  const auto round = [&](C v) {
    if (c.dtype == DType::bfloat16) return static_cast<C>(static_cast<float>(bfloat16(static_cast<float>(v))));
    return c.dtype == DType::float16 ? static_cast<C>(static_cast<float>(float16(static_cast<float>(v)))) : v;
  };
  std::fesetround(FE_TONEAREST);
  std::vector<int> codes(static_cast<std::size_t>(c.inputs));
  for (std::int64_t b = 0; b < c.batch; ++b) {
    C largest = 0;
    for (std::int64_t i = 0; i < c.inputs; ++i)
      largest = std::max(largest, std::fabs(static_cast<C>(data.x[at(b, c.inputs, i)])));
    const C factor = round(C(127) / round(largest + round(static_cast<C>(1e-7))));
    for (std::int64_t i = 0; i < c.inputs; ++i) {
      const C code = std::nearbyint(round(static_cast<C>(data.x[at(b, c.inputs, i)]) * factor));
      codes[static_cast<std::size_t>(i)] = static_cast<int>(std::clamp(code, C(-127), C(127)));
    }
    for (std::int64_t u = 0; u < c.units; ++u) {
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < c.inputs; ++i) sum += codes[static_cast<std::size_t>(i)] * data.q[at(i, c.units, u)];
      C want = round(round(static_cast<C>(sum)) / round(static_cast<C>(data.scale[static_cast<std::size_t>(u)]) * factor));
      if (c.bias) want = round(want + static_cast<C>(data.bias[static_cast<std::size_t>(u)]));
      if (c.activation == ActivationKind::Relu) want = std::max(want, C(0));
      ASSERT_EQ(y[at(b, c.units, u)], static_cast<double>(want))
          << to_string(c.dtype) << (c.int4 ? " int4 " : " int8 ") << c.batch << " x " << c.inputs << " x " << c.units << " at "
          << b << ", " << u;
    }
  }
}

void check(const Layer& c) {
  const Data data = random_data(c);
  const std::vector<double> y = run(c, data);
  c.dtype == DType::float64 ? expect_bits<double>(c, data, y) : expect_bits<float>(c, data, y);
}

TEST(IntegerGemmTest, IsRightInAnyShape) {
  int n = 0;
  for (const std::int64_t batch : {0, 1, 3, 8, 9, 33, 70}) {
    for (const std::int64_t inputs : {0, 1, 5, 31, 63, 64, 65, 131}) {
      for (const std::int64_t units : {0, 1, 15, 16, 17, 67}) {
        ++n;
        check({.dtype = kFloating[static_cast<std::size_t>(n) % 4],
               .int4 = n / 2 % 2 == 0,
               .batch = batch,
               .inputs = inputs,
               .units = units,
               .bias = n % 3 != 0,
               .aligned = n % 5 < 2});
      }
    }
  }
}

/// More chunks than a block's stages hold.
TEST(IntegerGemmTest, IsRightForManyInputs) {
  for (const bool int4 : {false, true}) {
    for (const std::int64_t inputs : {2048, 3111}) {
      check({.dtype = DType::float32, .int4 = int4, .batch = 2, .inputs = inputs, .units = 19, .aligned = true});
      check({.dtype = DType::bfloat16, .int4 = int4, .batch = 11, .inputs = inputs / 3, .units = 37});
    }
  }
}

/// 32 blocks of 32 x 64 results or more.
TEST(IntegerGemmTest, IsRightInTheTileForSomeRows) {
  for (const DType dtype : kFloating) {
    for (const bool int4 : {false, true}) {
      check({.dtype = dtype, .int4 = int4, .batch = 34, .inputs = 130, .units = 1023, .aligned = int4});
      check({.dtype = dtype, .int4 = int4, .batch = 1010, .inputs = 7, .units = 5, .activation = ActivationKind::Relu});
    }
  }
  check({.dtype = DType::float16, .int4 = true, .batch = 9, .inputs = 700, .units = 1990});
  check({.dtype = DType::float16, .int4 = false, .batch = 9, .inputs = 700, .units = 1990});
}

/// 64 blocks of 128 x 128 results or more.
TEST(IntegerGemmTest, IsRightInTheTileForManyRows) {
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
    for (const bool int4 : {false, true}) {
      check({.dtype = dtype, .int4 = int4, .batch = 8070, .inputs = 5, .units = 2});
      check({.dtype = dtype,
             .int4 = int4,
             .batch = 900,
             .inputs = 70,
             .units = dtype == DType::float16 ? 900 : 20,
             .aligned = true});
      check({.dtype = dtype, .int4 = int4, .batch = 33, .inputs = 333, .units = 8070, .activation = ActivationKind::Relu});
    }
  }
}

TEST(IntegerGemmTest, SumsWrapAround) {
  for (const bool int4 : {false, true}) {
    const Layer c{
        .dtype = DType::float64, .int4 = int4, .batch = 1, .inputs = int4 ? 2'200'000 : 140'000, .units = 1, .bias = false};
    Data data = random_data(c);
    data.x.assign(data.x.size(), 1);
    data.q.assign(data.q.size(), int4 ? -8 : -128);
    data.scale = {1};
    const auto sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(127 * data.q[0] * c.inputs));
    const double factor = 127 / (1 + 1e-7);
    EXPECT_EQ(run(c, data)[0], sum / factor);
  }
}

TEST(IntegerGemmTest, RefusesWeightsThatAreNotAligned) {
  Buffer memory(4096, DType::float32, true);
  kernels::QuantizedDense args{.activation = {},
                               .quantizes = true,
                               .batch = 1,
                               .inputs = 4,
                               .units = 4,
                               .src = memory.data(),
                               .weights = static_cast<const char*>(memory.data()) + 8,
                               .scale = memory.data(),
                               .dst = memory.data(),
                               .workspace = memory.data()};
  EXPECT_EQ(kernels::quantized_dense(args, nullptr), cudaErrorInvalidValue);
  args.weights = memory.data();
  args.activation.kind = ActivationKind::Softmax;
  EXPECT_EQ(kernels::quantized_dense(args, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace lamella::test
