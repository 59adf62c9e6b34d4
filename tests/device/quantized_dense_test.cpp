// SPDX-License-Identifier: Apache-2.0
// Quantized products against Keras' formulas in float64.
#include <gtest/gtest.h>

#include <cfenv>

#include "core/float8.hpp"
#include "device/device_support.hpp"

namespace lamella::test {
namespace {

using ops::QuantizedDenseDesc;
using ops::WeightFormat;

struct Sizes {
  std::int64_t batch, inputs, units, group;
};
constexpr Sizes kSizes[] = {{1, 1, 1, 1}, {3, 13, 7, 5}, {7, 70, 65, 16}, {33, 129, 3, 128}, {2, 257, 131, 100},
                            {0, 5, 3, 2}, {5, 0, 3, -1}, {4, 31, 64, -1}, {70, 33, 129, 33}, {13, 128, 127, 1}};

std::size_t at(std::int64_t row, std::int64_t width, std::int64_t column) {
  return static_cast<std::size_t>(row * width + column);
}

/// A random layer: its integers, and the constants made of them.
struct Layer {
  QuantizedDenseDesc desc;
  std::vector<int> q;
  std::vector<double> scale, zero, input_scale, bias;
  std::vector<std::int32_t> group;
  std::shared_ptr<const ops::Constants> constants;

  Layer(const Sizes& s, WeightFormat format, bool grouped, DType dtype, bool quantizes, unsigned seed) {
    std::mt19937 random(seed);
    const int half = format == WeightFormat::int8 ? 128 : 8;
    std::uniform_int_distribution<int> integer(-half, half - 1);
    desc = {.batch = s.batch,
            .inputs = s.inputs,
            .units = s.units,
            .format = format,
            .has_bias = seed % 3 != 0,
            .activation = {},
            .dtype = dtype};
    desc.quantizes = quantizes;
    desc.groups = !grouped ? 0 : s.group < 0 ? 1 : (s.inputs + s.group - 1) / s.group;
    desc.has_input_scale = grouped && seed % 2 == 0;
    q.resize(static_cast<std::size_t>(s.inputs * s.units));
    for (int& value : q) value = integer(random);
    const auto scales = static_cast<std::size_t>(std::max<std::int64_t>(desc.groups, 1) * s.units);
    scale = positive(scales, seed + 1, dtype, grouped ? 0.01 : half);
    zero.resize(grouped ? scales : 0);
    for (double& z : zero) z = integer(random);
    for (std::int64_t i = 0; i < (grouped ? s.inputs : 0); ++i)
      group.push_back(static_cast<std::int32_t>(random() % desc.groups));
    if (desc.has_input_scale) input_scale = positive(static_cast<std::size_t>(s.inputs), seed + 2, dtype, 1.0);
    if (desc.has_bias) bias = rounded(rounded(random_values(static_cast<std::size_t>(s.units), seed + 3), weights()), dtype);
    store();
  }

  [[nodiscard]] DType weights() const { return desc.dtype == DType::float64 ? DType::float64 : DType::float32; }
  static std::vector<double> positive(std::size_t n, unsigned seed, DType dtype, double width) {
    auto values = random_values(n, seed, width);
    for (double& v : values) v = std::fabs(v) + 0.1 * width;
    return rounded(rounded(values, DType::float32), dtype);
  }
  void store() {
    const bool wide = desc.format == WeightFormat::int8;
    const std::int64_t row = wide ? desc.units : (desc.units + 1) / 2;
    Tensor packed = Tensor::zeros({desc.inputs, row}, DType::int8);
    auto* bytes = static_cast<std::uint8_t*>(packed.data());
    for (std::int64_t i = 0; i < desc.inputs; ++i) {
      for (std::int64_t u = 0; u < desc.units; ++u) {
        const int value = q[at(i, desc.units, u)];
        auto& byte = bytes[at(i, row, wide ? u : u / 2)];
        byte = static_cast<std::uint8_t>(wide ? value : byte + ((value & 15) << (u % 2 * 4)));
      }
    }
    std::vector<std::shared_ptr<const Tensor>> all{std::make_shared<const Tensor>(std::move(packed))};
    const auto add = [&](const std::vector<double>& values) {
      all.push_back(std::make_shared<const Tensor>(Tensor::of<double>(values, Shape{values.size()}).to(weights())));
    };
    add(scale);
    if (desc.groups > 0) {
      add(zero);
      all.push_back(std::make_shared<const Tensor>(Tensor::of<std::int32_t>(group, Shape{desc.inputs})));
    }
    if (desc.has_input_scale) add(input_scale);
    if (desc.has_bias) add(bias);
    constants = std::make_shared<const ops::Constants>(std::move(all));
  }
};

double round_once(double x, DType dtype) {
  const auto f = static_cast<float>(x);
  if (dtype == DType::bfloat16) return static_cast<double>(static_cast<float>(bfloat16(f)));
  if (dtype == DType::float16) return static_cast<double>(static_cast<float>(float16(f)));
  return dtype == DType::float64 ? x : static_cast<double>(f);
}

/// Keras' formula in float64, with no rounding except that of the weights.
void expect_product(const Layer& layer, const std::vector<double>& x, const std::vector<double>& y) {
  const QuantizedDenseDesc& d = layer.desc;
  std::vector<double> weights(layer.q.begin(), layer.q.end());
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const std::size_t i = k / static_cast<std::size_t>(d.units);
    const std::size_t g = d.groups > 0 ? at(layer.group[i], d.units, static_cast<std::int64_t>(k) % d.units) : 0;
    if (d.groups > 0) weights[k] = round_once((weights[k] - layer.zero[g]) * layer.scale[g], d.dtype);
    if (d.has_input_scale) weights[k] = round_once(weights[k] / layer.input_scale[i], d.dtype);
  }
  for (std::int64_t b = 0; b < d.batch; ++b) {
    for (std::int64_t u = 0; u < d.units; ++u) {
      double sum = 0;
      double sizes = 0;
      for (std::int64_t i = 0; i < d.inputs; ++i) {
        const double product = x[at(b, d.inputs, i)] * weights[at(i, d.units, u)];
        sum += product;
        sizes += std::fabs(product);
      }
      if (d.groups == 0) {
        sum /= layer.scale[static_cast<std::size_t>(u)];
        sizes /= layer.scale[static_cast<std::size_t>(u)];
      }
      if (d.has_bias) sum += layer.bias[static_cast<std::size_t>(u)];
      const double want = std::tanh(sum);
      const double tolerance = 2e-6 * std::max(1.0, sizes) + (1e-5 + roundoff(d.dtype)) * std::fabs(want);
      ASSERT_NEAR(y[at(b, d.units, u)], want, tolerance) << "row " << b << " unit " << u;
    }
  }
}

/// Keras' arithmetic to the last bit: in float, rounded after every operation.
void expect_integers(const Layer& layer, const std::vector<double>& x, const std::vector<double>& y) {
  const QuantizedDenseDesc& d = layer.desc;
  const auto round = [&](float v) { return static_cast<float>(round_once(static_cast<double>(v), d.dtype)); };
  std::fesetround(FE_TONEAREST);
  for (std::int64_t b = 0; b < d.batch; ++b) {
    float largest = 0;
    for (std::int64_t i = 0; i < d.inputs; ++i) {
      const auto v = std::fabs(static_cast<float>(x[at(b, d.inputs, i)]));
      largest = std::isnan(v) || std::isnan(largest) ? std::nanf("") : std::max(largest, v);
    }
    const float factor = round(static_cast<float>(d.high) / round(largest + round(static_cast<float>(d.epsilon))));
    std::vector<int> codes;
    for (std::int64_t i = 0; i < d.inputs; ++i) {
      const float v = std::nearbyint(round(static_cast<float>(x[at(b, d.inputs, i)]) * factor));
      const float clipped = std::clamp(v, static_cast<float>(d.low), static_cast<float>(d.high));
      codes.push_back(std::isnan(v) ? 0 : static_cast<int>(clipped));
    }
    for (std::int64_t u = 0; u < d.units; ++u) {
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < d.inputs; ++i) sum += codes[static_cast<std::size_t>(i)] * layer.q[at(i, d.units, u)];
      const auto scale = static_cast<float>(layer.scale[static_cast<std::size_t>(u)]);
      float want = round(round(static_cast<float>(sum)) / round(scale * factor));
      if (d.has_bias) want = round(want + static_cast<float>(layer.bias[static_cast<std::size_t>(u)]));
      const auto got = static_cast<float>(y[at(b, d.units, u)]);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got)) << "row " << b << " unit " << u;
      } else {
        ASSERT_EQ(got, want) << "row " << b << " unit " << u;
      }
    }
  }
}

std::vector<double> drawn_rows(const QuantizedDenseDesc& d, unsigned seed) {
  auto x = random_values(static_cast<std::size_t>(d.batch * d.inputs), seed);
  for (std::int64_t b = 0; b < d.batch; ++b) {
    const double size = b % 5 == 1 ? 0 : b % 5 == 2 ? 1e-6 : b % 5 == 3 ? 1e4 : 1;
    for (std::int64_t i = 0; i < d.inputs; ++i) x[at(b, d.inputs, i)] *= size;
  }
  return rounded(x, d.dtype);
}

std::vector<double> run_layer(const Layer& layer, const std::vector<double>& x, const std::string& engine = {}) {
  std::vector<Bytes> srcs;
  srcs.push_back(stored(x, layer.desc.dtype, size_of(layer.desc.dtype)));
  return run(layer.desc, layer.constants, std::move(srcs), layer.desc.dtype,
             static_cast<std::size_t>(layer.desc.batch * layer.desc.units), engine);
}

/// All engines that accept the layer. CUDA has one implementation, which cannot be forced by name.
std::vector<std::string> engines(const Layer& layer) {
  std::vector<std::string> names = engines_that_take(layer.desc, layer.constants);
  EXPECT_EQ(names.empty(), device().is_cuda());
  if (names.empty()) names.emplace_back();
  return names;
}

TEST(QuantizedDense, QuantizedWeightsFollowTheFormulaAtAwkwardSizes) {
  unsigned seed = 0;
  for (const Sizes& s : kSizes) {
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64}) {
      for (const bool grouped : {false, true}) {
        if (grouped && s.inputs == 0) continue;
        const auto format = (++seed / 2) % 2 == 0 ? WeightFormat::int4 : WeightFormat::int8;
        Layer layer(s, format, grouped, dtype, false, seed);
        layer.desc.activation = activation_of("tanh");
        auto x = random_values(static_cast<std::size_t>(s.batch * s.inputs), seed, 0.1);
        x = rounded(x, dtype);
        for (const std::string& engine : engines(layer)) {
          SCOPED_TRACE(core::format("{} {}x{}x{} {}{}{}", engine, s.batch, s.inputs, s.units, to_string(dtype),
                                    grouped ? " grouped" : "", format == WeightFormat::int4 ? " int4" : " int8"));
          expect_product(layer, x, run_layer(layer, x, engine));
        }
      }
    }
  }
}

TEST(QuantizedDense, ProductsOfIntegersHaveKerasBits) {
  unsigned seed = 100;
  for (const Sizes& s : kSizes) {
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
      for (const auto format : {WeightFormat::int4, WeightFormat::int8}) {
        Layer layer(s, format, false, dtype, true, ++seed);
        if (seed % 4 == 0) {
          layer.desc.low = -100;
          layer.desc.high = 90;
          layer.desc.epsilon = 0.01;
        }
        const auto x = drawn_rows(layer.desc, seed);
        for (const std::string& engine : engines(layer)) {
          SCOPED_TRACE(core::format("{} {}x{}x{} {}", engine, s.batch, s.inputs, s.units, to_string(dtype)));
          expect_integers(layer, x, run_layer(layer, x, engine));
        }
      }
    }
  }
}

TEST(QuantizedDense, ARowWithNaNOrInfinityIsNaNWithoutAffectingOthers) {
  Layer layer({4, 33, 65, -1}, WeightFormat::int8, false, DType::float32, true, 7);
  auto x = random_values(4 * 33, 5);
  x[3] = std::nan("");
  x[33 + 32] = std::numeric_limits<double>::infinity();
  for (const std::string& engine : engines(layer)) {
    const auto y = run_layer(layer, rounded(x, DType::float32), engine);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i < 2 * 65) << engine << " " << i;
  }
}

TEST(QuantizeDequantize, GivesTheNearestNumberOfE4M3InEveryType) {
  std::vector<double> numbers{0.0};  // all non-negative numbers
  for (int e = 0; e < 16; ++e) {
    for (int m = e == 0 ? 1 : 0; m < (e == 15 ? 7 : 8); ++m)
      numbers.push_back(std::ldexp(e == 0 ? m : m + 8, std::max(e, 1) - 10));
  }
  std::vector<double> x;
  for (std::size_t i = 0; i + 1 < numbers.size(); ++i) {
    const double middle = (numbers[i] + numbers[i + 1]) / 2;
    for (const double near : {numbers[i], middle, middle * (1 - 0x1p-7), middle * (1 + 0x1p-7)}) {
      x.push_back(near);
      x.push_back(-near);
    }
  }
  for (const double far : {448.0, 460.0, 480.0, 1e4, std::numeric_limits<double>::infinity()}) x.push_back(far);
  x.push_back(std::nan(""));
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64}) {
    const auto from = rounded(x, dtype);
    std::vector<Bytes> srcs;
    srcs.push_back(stored(from, dtype));
    const ops::QuantizeDequantizeDesc desc{static_cast<std::int64_t>(x.size()), 1.0F, dtype};
    const auto y = run(desc, constants_of({}), std::move(srcs), dtype, x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(from[i])) {
        EXPECT_TRUE(std::isnan(y[i]));
        continue;
      }
      const double size = std::min(std::fabs(from[i]), 448.0);
      std::size_t best = 0;
      for (std::size_t k = 1; k < numbers.size(); ++k) {
        const double better = std::fabs(numbers[best] - size) - std::fabs(numbers[k] - size);
        if (better > 0 || (better == 0 && k % 2 == 0)) best = k;  // the k-th number has k as its bits, so it is even if k is
      }
      EXPECT_EQ(std::fabs(y[i]), numbers[best]) << from[i] << " of " << to_string(dtype);
      EXPECT_EQ(std::signbit(y[i]), std::signbit(from[i])) << from[i];
    }
  }
}

}  // namespace
}  // namespace lamella::test
