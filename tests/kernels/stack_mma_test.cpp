// SPDX-License-Identifier: Apache-2.0
// Stacks of float16 and bfloat16, by tensor cores.
#include "kernels/mma_layout.hpp"
#include "tests/kernels/activation_error.hpp"
#include "tests/kernels/stack_support.hpp"

namespace lamella::test {
namespace {

constexpr std::array kTypes{DType::float16, DType::bfloat16};

double rounded(double x, DType dtype) { return Buffer(std::vector<double>{x}, dtype)[0]; }

/// Small integers: their sums are exact in float32, in any order, so each layer's result is known to the bit.
Data integer_data(const Case& c, unsigned seed = 1) {
  std::mt19937 random(seed);
  const auto draw = [&](std::int64_t n, int most) {
    std::vector<double> values(static_cast<std::size_t>(n));
    for (double& value : values) value = std::uniform_int_distribution<int>(-most, most)(random);
    return values;
  };
  Data data{draw(c.batch * c.layers.front().inputs, 8), {}, {}};
  for (const StackLayer& layer : c.layers) {
    data.w.push_back(draw(layer.inputs * layer.units, 1));
    data.b.push_back(draw(layer.units, 8));
  }
  return data;
}

/// The results in float64, rounded after each layer; activations are linear or relu.
std::vector<double> expected(const Case& c, const Data& data) {
  std::vector<std::vector<double>> values{data.x};
  for (std::size_t n = 0; n < c.layers.size(); ++n) {
    const StackLayer& layer = c.layers[n];
    const std::vector<double> x = taken(c, n, values);
    std::vector<double> y = x;
    if (layer.is_dense) y.assign(static_cast<std::size_t>(c.batch * layer.units), 0);
    for (std::size_t at = 0; at < y.size(); ++at) {
      const auto row = static_cast<std::int64_t>(at) / layer.units;
      const auto unit = static_cast<std::int64_t>(at) % layer.units;
      for (std::int64_t i = 0; layer.is_dense && i < layer.inputs; ++i)
        y[at] +=
            x[static_cast<std::size_t>(row * layer.inputs + i)] * data.w[n][static_cast<std::size_t>(i * layer.units + unit)];
      if (layer.is_dense && c.has_bias(n)) y[at] += data.b[n][static_cast<std::size_t>(unit)];
      if (layer.activation.kind == ActivationKind::Relu && 0 > y[at]) y[at] = 0;
      y[at] = rounded(y[at], c.dtype);
      if (layer.added != StackLayer::kNothing)
        y[at] = rounded(y[at] + values[static_cast<std::size_t>(layer.added)][at], c.dtype);
    }
    values.push_back(std::move(y));
  }
  return values.back();
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void check(const Case& c, const Data& data) {
  const std::vector<double> y = run(c, data);
  const std::vector<double> wanted = expected(c, data);
  ASSERT_EQ(y.size(), wanted.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_TRUE(same(y[i], wanted[i])) << to_string(c.dtype) << ", " << c.batch << " rows, " << c.layers.size()
                                       << " layers, from " << c.layers[0].inputs << ", at " << i << ": " << wanted[i] << ", got "
                                       << y[i];
  }
}
/// In both types, with src and dst aligned and not.
void check(Case c) {
  for (const DType dtype : kTypes) {
    for (const bool packs : {false, true}) {
      c.dtype = dtype;
      c.packs = packs;
      ASSERT_NO_FATAL_FAILURE(check(c, integer_data(c)));
    }
  }
}

TEST(StackMmaTest, IsRightInAnyShape) {
  constexpr ActivationSpec kRelu{.kind = ActivationKind::Relu};
  for (const StackTile tile : {StackTile::few_rows, StackTile::many_rows}) {
    for (const std::int64_t batch : {0, 1, 7, 16, 33, 130}) {
      check({.tile = tile, .batch = batch, .layers = layers_of({4, 24, 2}, kRelu)});
      check({.tile = tile, .batch = batch, .layers = layers_of({63, 1, 9, 64}), .bias = {true, false, true}});
      check({.tile = tile, .batch = batch, .layers = layers_of({128, 64, 3}, kRelu)});
      check({.tile = tile, .batch = batch, .layers = layers_of({256, 63, 8, 31}, kRelu), .bias = {false, false, true}});
      check({.tile = tile, .batch = batch, .layers = layers_of({40, 65, 128, 97, 5}, kRelu), .bias = {true, false, true, true}});
    }
    check({.tile = tile, .batch = 5, .layers = layers_of({20, 30})});
    check({.tile = tile, .batch = 5, .layers = layers_of({201, 50, 40, 64})});
    check({.tile = tile, .batch = 19, .layers = layers_of(std::vector<std::int64_t>(kernels::kMostStackLayers + 1, 6))});
    check({.tile = tile, .batch = 5, .layers = layers_of({0, 3, 2})});
    check({.tile = tile, .batch = 5, .layers = layers_of({3, 0, 2})});
    check({.tile = tile, .batch = 5, .layers = layers_of({3, 2, 0})});
  }
}

TEST(StackMmaTest, TakesTwoValuesSideBySide) {
  constexpr auto kRelu = ActivationKind::Relu;
  for (const StackTile tile : {StackTile::few_rows, StackTile::many_rows}) {
    for (const std::int64_t batch : {1, 19, 140}) {
      check({.tile = tile, .batch = batch, .layers = {{9, 7, {}}, side_by_side(0, 1, 16)}});
      check({.tile = tile, .batch = batch, .layers = {{9, 7, {}}, side_by_side(1, 0, 16, kRelu), {16, 5, {}}}});
      check({.tile = tile,
             .batch = batch,
             .layers = {{9, 50, {}}, {50, 11, {}}, side_by_side(1, 2, 61), side_by_side(3, 1, 111), {111, 3, {}}}});
      check({.tile = tile, .batch = batch, .layers = layers_that_reuse_places({})});
    }
  }
}

TEST(StackMmaTest, RandomStructuresAreWhatTheirLayersAre) {
  std::mt19937 random(3);
  for (int n = 0; n < 40; ++n) {
    Case c = random_case(random, n % 3 == 0, n % 2 == 0 ? 64 : kernels::kMostStackWidth);
    SCOPED_TRACE(n);
    ASSERT_NO_FATAL_FAILURE(check(c));
  }
}

/// Layer by layer, by mma_gemm().
std::vector<double> one_by_one(const Case& c, const Data& data) {
  std::vector<double> x = data.x;
  for (std::size_t n = 0; n < c.layers.size(); ++n) {
    const StackLayer& layer = c.layers[n];
    const kernels::MmaLayout layout{layer.inputs, layer.units};
    std::vector<double> packed(static_cast<std::size_t>(layout.elements()));
    for (std::int64_t i = 0; i < layer.inputs; ++i) {
      for (std::int64_t u = 0; u < layer.units; ++u)
        packed[static_cast<std::size_t>(layout.at(i, u))] = data.w[n][static_cast<std::size_t>(i * layer.units + u)];
    }
    Buffer src(x, c.dtype), kernel(packed, c.dtype, true), bias(data.b[n], DType::float32), dst(c.batch * layer.units, c.dtype);
    const kernels::Dense dense{layer.activation, c.dtype, src.data(),   kernel.data(), bias.data(),
                               dst.data(),       c.batch, layer.inputs, layer.units};
    EXPECT_EQ(kernels::mma_gemm(dense, kernels::MmaTile::automatic, nullptr), cudaSuccess);
    x = dst.values();
  }
  return x;
}

TEST(StackMmaTest, HasTheBitsOfItsLayersOneByOneInEveryBatchAndTile) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t widest : {50, 64, 65, 128}) {
      Case all{.batch = 140, .layers = layers_of({130, widest, 40, 7}, ActivationSpec{.kind = ActivationKind::Relu})};
      all.dtype = dtype;
      const Data data = random_data(all);
      expect_bits_of_parts(all, data, one_by_one(all, data), std::array{StackTile::few_rows, StackTile::many_rows},
                           {1, 9, 70, 140});
    }
  }
}

/// Sums of one product and 0.25, which are exact.
TEST(StackMmaTest, AppliesEveryActivationToTheSumAndRoundsOnce) {
  constexpr std::int64_t kUnits = 61;
  std::vector<double> factors(kUnits);
  for (std::size_t i = 0; i < factors.size(); ++i) factors[i] = (static_cast<double>(i) - 30) / 8;
  const Data data{{1, -0.5, 2}, {factors, {}}, {std::vector<double>(kUnits, 0.25), {}}};
  for (const ActivationKind kind : elementwise_kinds()) {
    const std::array<float, 3> p = measured_parameters(kind)[0];
    const ActivationSpec activation{kind, {p[0], p[1], p[2]}};
    for (const DType dtype : kTypes) {
      Case c{.batch = 3, .layers = {{1, kUnits, activation}}};
      c.dtype = dtype;
      const std::vector<double> y = run(c, data);
      const Case apart{.batch = 3, .layers = {{1, kUnits, {}}, without_product(kUnits)}, .dtype = dtype};
      Case two = apart;
      two.layers[1].activation = activation;
      const std::vector<double> z = run(two, data);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double sum = data.x[i / kUnits] * factors[i % kUnits] + 0.25;
        const double exact = truths().at(to_string(kind))(sum, activation.parameters);
        ASSERT_TRUE(is_rounded(y[i], exact, dtype, activation_error(kind, dtype, sum, exact)))
            << to_string(kind) << " of " << sum << ": " << exact << ", got " << y[i];
        if (rounded(sum, dtype) == sum) {
          ASSERT_TRUE(same(y[i], z[i])) << to_string(kind) << " of " << sum;
        }
      }
    }
  }
}

TEST(StackMmaTest, EndsInASoftmaxOfTheRoundedRow) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t units : {1, 2, 10, 33, 61, 64, 101, 128}) {
      Case c{.batch = 21, .layers = layers_of({12, 40, units})};
      c.dtype = dtype;
      const Data data = random_data(c);
      const std::vector<double> z = run(c, data);
      c.softmax = true;
      const std::vector<double> y = run(c, data);
      for (std::size_t row = 0; row < 21; ++row) {
        const auto first = z.begin() + static_cast<std::ptrdiff_t>(row) * units;
        const double shift = *std::max_element(first, first + units);
        double total = 0;
        for (std::int64_t u = 0; u < units; ++u) total += std::exp(first[u] - shift);
        for (std::int64_t u = 0; u < units; ++u) {
          const double exact = std::exp(first[u] - shift) / total;
          const double error = (8 + shift - first[u]) * spacing(DType::float32, exact);
          ASSERT_TRUE(is_rounded(y[row * static_cast<std::size_t>(units) + static_cast<std::size_t>(u)], exact, dtype, error));
        }
      }
    }
  }
}

TEST(StackMmaTest, PassesNaNAndInfinityOnAsSumsDo) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const DType dtype : kTypes) {
    Case c{.batch = 20, .layers = layers_of({11, 100, 5})};
    c.dtype = dtype;
    Data data = integer_data(c);
    data.x[3 * 11 + 10] = std::nan("");
    data.x[17 * 11] = kInf;
    data.x[18 * 11] = kInf;
    data.x[18 * 11 + 1] = -kInf;
    data.b[1][2] = kInf;
    check(c, data);
    Case positive{.batch = 2, .layers = layers_of({1, 61, 3, 2})};
    positive.dtype = dtype;
    Data ones{{kInf, 1}, {}, {}};
    for (const StackLayer& layer : positive.layers) {
      ones.w.emplace_back(static_cast<std::size_t>(layer.inputs * layer.units), 0.5);
      ones.b.emplace_back(static_cast<std::size_t>(layer.units), 0.25);
    }
    check(positive, ones);
    Case large{.batch = 3, .layers = layers_of({128, 64, 2})};  // overflows float16 after the first layer
    large.dtype = dtype;
    Data numbers = integer_data(large);
    for (double& x : numbers.x) x = 8192;
    check(large, numbers);
  }
}

TEST(StackMmaTest, RefusesWiderLayers) {
  Buffer memory(4096, DType::float16, true);
  const std::vector<StackLayer> layers = layers_of({4, 129});
  const kernels::Stack args{.layers = layers,
                            .dtype = DType::float16,
                            .src = memory.data(),
                            .weights = memory.data(),
                            .dst = memory.data(),
                            .batch = 1};
  EXPECT_EQ(kernels::stack(args, nullptr), cudaErrorInvalidValue);
}

TEST(StackMmaTest, ItsWeightsEachHaveAPlace) {
  for (const std::int64_t widest : {64, 128}) {
    const std::vector<StackLayer> layers = layers_of({40, widest, 3});
    const kernels::StackLayout layout(layers, DType::float16);
    std::vector<int> used(static_cast<std::size_t>(layout.elements()));
    for (std::size_t n = 0; n < layers.size(); ++n) {
      for (std::int64_t i = 0; i < layers[n].inputs; ++i) {
        for (std::int64_t u = 0; u < layers[n].units; ++u)
          ++used.at(static_cast<std::size_t>(layout.kernel(n) + layout.at(n, i, u)));
      }
    }
    EXPECT_EQ(*std::max_element(used.begin(), used.end()), 1) << widest;
  }
}

}  // namespace
}  // namespace lamella::test
