// SPDX-License-Identifier: Apache-2.0
#include "kernels/stack_cluster.hpp"

#include "tests/kernels/activation_error.hpp"
#include "tests/kernels/stack_support.hpp"

namespace lamella::test {
namespace {

using kernels::ClusterLayout;

constexpr auto kRelu = ActivationKind::Relu;
const ActivationSpec relu{.kind = kRelu};

class StackClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    int architecture = 0;
    ASSERT_EQ(kernels::has_image(architecture), cudaSuccess);
    if (architecture < kernels::kClusterArchitecture) GTEST_SKIP() << "the kernel traps below compute capability 9.0";
  }

  static std::vector<double> run(const Case& c, const Data& data) {
    const ClusterLayout layout(c.layers);
    const auto [weights_packed, biases] = packed(c, data, layout);
    Buffer src(data.x, DType::float32);
    Buffer weights(weights_packed, DType::float32, true);
    Buffer bias(biases, DType::float32);
    Buffer dst(c.batch * c.layers.back().units, DType::float32);
    kernels::Stack args{.layers = c.layers,
                        .softmax = c.softmax,
                        .src = src.data(),
                        .weights = weights.data(),
                        .bias = static_cast<const float*>(bias.data()),
                        .dst = dst.data(),
                        .batch = c.batch};
    Buffer workspace(static_cast<std::int64_t>(kernels::stack_cluster_workspace(args) / sizeof(float)), DType::float32, true);
    args.workspace = workspace.data();
    EXPECT_EQ(kernels::stack_cluster(args, nullptr), cudaSuccess);
    EXPECT_TRUE(dst.guarded() && workspace.guarded());
    return dst.values();
  }

  /// The same in float64, and how far float32 may be from it. Activations are linear or relu.
  struct Truth {
    std::vector<double> value, error;
  };
  static Truth taken(const Case& c, std::size_t n, const std::vector<Truth>& before) {
    std::vector<std::vector<double>> values, errors;
    for (const Truth& one : before) {
      values.push_back(one.value);
      errors.push_back(one.error);
    }
    return {test::taken(c, n, values), test::taken(c, n, errors)};
  }
  static Truth next(const Case& c, const Data& data, std::size_t n, const Truth& x) {
    const StackLayer& layer = c.layers[n];
    Truth y = x;
    if (layer.is_dense) y = {};
    for (std::int64_t b = 0; layer.is_dense && b < c.batch; ++b) {
      for (std::int64_t u = 0; u < layer.units; ++u) {
        double sum = c.has_bias(n) ? data.b[n][static_cast<std::size_t>(u)] : 0;
        double size = std::fabs(sum);
        double error = 0;
        for (std::int64_t i = 0; i < layer.inputs; ++i) {
          const auto at = static_cast<std::size_t>(b * layer.inputs + i);
          const double weight = data.w[n][static_cast<std::size_t>(i * layer.units + u)];
          sum += x.value[at] * weight;
          size += std::fabs(x.value[at] * weight);
          error += x.error[at] * std::fabs(weight);
        }
        y.value.push_back(sum);
        y.error.push_back(error + static_cast<double>(layer.inputs + 2) * 0x1p-24 * size);
      }
    }
    for (double& value : y.value) value = layer.activation.kind == kRelu && 0 > value ? 0 : value;
    return y;
  }
  static Truth truth(const Case& c, const Data& data) {
    std::vector<Truth> values{{data.x, std::vector<double>(data.x.size())}};
    for (std::size_t n = 0; n < c.layers.size(); ++n) {
      Truth y = next(c, data, n, taken(c, n, values));
      if (const int added = c.layers[n].added; added != StackLayer::kNothing) {
        for (std::size_t i = 0; i < y.value.size(); ++i) {
          y.value[i] += values[static_cast<std::size_t>(added)].value[i];
          y.error[i] += values[static_cast<std::size_t>(added)].error[i] + std::fabs(y.value[i]) * 0x1p-24;
        }
      }
      values.push_back(std::move(y));
    }
    return values.back();
  }

  static void check(const Case& c, const Data& data) {
    const std::vector<double> y = run(c, data);
    const Truth wanted = truth(c, data);
    ASSERT_EQ(y.size(), wanted.value.size());
    const auto units = static_cast<std::size_t>(c.layers.back().units);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const bool same = std::isfinite(wanted.value[i])
                            ? std::fabs(y[i] - wanted.value[i]) <= wanted.error[i]
                            : y[i] == wanted.value[i] || (std::isnan(y[i]) && std::isnan(wanted.value[i]));
      ASSERT_TRUE(same) << c.batch << " rows, " << c.layers.size() << " layers, from " << c.layers[0].inputs << " to " << units
                        << ", at " << i / units << ", " << i % units << ": " << wanted.value[i] << ", got " << y[i];
    }
  }
  static void check(const Case& c) { check(c, random_data(c)); }
};

TEST_F(StackClusterTest, IsRightInAnyShape) {
  for (const std::int64_t batch : {0, 1, 2, 3, 4, 5, 8}) {
    check({.batch = batch, .layers = layers_of({4, 24, 2}, relu)});
    check({.batch = batch, .layers = layers_of({63, 1, 9, 64}), .bias = {true, false, true}});
    check({.batch = batch, .layers = layers_of({33, 129, 3}, relu)});
    check({.batch = batch, .layers = layers_of({1, 127, 257, 31}), .bias = {false, false, true}});
  }
  check({.batch = 1, .layers = layers_of({1024, 1000, 40}, relu)});
  check({.batch = 7, .layers = layers_of({300, 1024, 5}, relu)});
}

TEST_F(StackClusterTest, OneLayerAndTheMaximum) {
  check({.batch = 5, .layers = layers_of({20, 300})});
  check({.batch = 3, .layers = layers_of(std::vector<std::int64_t>(kernels::kMostStackLayers + 1, 6))});
  check({.batch = 1, .layers = layers_of(std::vector<std::int64_t>(5, 256), relu)});
}

TEST_F(StackClusterTest, AddsWhatWasBefore) {
  for (const std::int64_t width : {1, 30, 67, 200}) {
    const StackLayer dense{width, width, relu};
    const StackLayer linear{width, width, {}};
    const std::vector<std::vector<StackLayer>> all{
        {plus(dense, 0)},
        {dense, plus(linear, 0), {width, 3, {}}},
        {{7, width, relu}, dense, plus(linear, 1), without_product(width, kRelu), dense, plus(linear, 4), {width, 5, {}}},
        {linear, without_product(width, kRelu), dense, plus(dense, 1), without_product(width, kRelu, 0), without_product(width)},
        {dense, dense, dense, plus(dense, 3), plus(dense, 2), plus(dense, 1), plus(dense, 0)}};
    for (const auto& layers : all) {
      for (const std::int64_t batch : {1, 6}) check({.batch = batch, .layers = layers});
    }
  }
}

TEST_F(StackClusterTest, TakesTwoValuesSideBySide) {
  const std::vector<std::vector<StackLayer>> all{
      {{9, 70, relu}, side_by_side(0, 1, 79)},
      {{9, 70, relu}, side_by_side(1, 0, 79, kRelu), {79, 5, {}}},
      {{9, 50, {}}, {50, 300, relu}, side_by_side(1, 2, 350), side_by_side(3, 1, 400), {400, 3, {}}},
      layers_that_reuse_places(relu)};
  for (const auto& layers : all) {
    for (const std::int64_t batch : {1, 6}) check({.batch = batch, .layers = layers});
  }
}

TEST_F(StackClusterTest, RandomStructuresAreWhatTheirLayersAre) {
  std::mt19937 random(11);
  for (int n = 0; n < 30; ++n) {
    Case c = random_case(random, n % 3 == 0, n % 2 == 0 ? 400 : 40);
    c.batch = c.batch % 8 + 1;
    SCOPED_TRACE(n);
    ASSERT_NO_FATAL_FAILURE(check(c));
  }
}

/// In each sum only one product is not 0, and in the second layer it multiplies by 1, so that errors are the activations' alone.
TEST_F(StackClusterTest, AppliesEveryActivation) {
  constexpr std::int64_t kUnits = 67;
  std::vector<double> factors(kUnits);
  for (std::size_t i = 0; i < factors.size(); ++i) factors[i] = (static_cast<double>(i) - 33) / 8;
  const Data data{{1, -0.5, 2}, {factors}, {std::vector<double>(kUnits, 0.25)}};
  for (const ActivationKind kind : elementwise_kinds()) {
    const std::array<float, 3> p = measured_parameters(kind)[0];
    const ActivationSpec activation{kind, {p[0], p[1], p[2]}};
    const std::vector<double> y = run({.batch = 3, .layers = {{1, kUnits, activation}}}, data);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double sum = data.x[i / kUnits] * factors[i % kUnits] + 0.25;
      const double exact = truths().at(to_string(kind))(sum, activation.parameters);
      ASSERT_TRUE(is_rounded(y[i], exact, DType::float32, activation_error(kind, DType::float32, sum, exact)))
          << to_string(kind) << " of " << sum << ": " << exact << ", got " << y[i];
    }
  }
}

TEST_F(StackClusterTest, EndsInASoftmaxOfTheRow) {
  for (const std::int64_t units : {1, 10, 33, 257}) {
    const Case c{.batch = 5, .layers = layers_of({12, 40, units}), .softmax = true};
    const Data data = random_data(c);
    const std::vector<double> y = run(c, data);
    Case plain = c;
    plain.softmax = false;
    const std::vector<double> z = run(plain, data);
    for (std::size_t row = 0; row < 5; ++row) {
      const auto first = z.begin() + static_cast<std::ptrdiff_t>(row) * units;
      const double shift = *std::max_element(first, first + units);
      double total = 0;
      for (std::int64_t u = 0; u < units; ++u) total += std::exp(first[u] - shift);
      for (std::int64_t u = 0; u < units; ++u) {
        const double exact = std::exp(first[u] - shift) / total;
        ASSERT_NEAR(y[row * static_cast<std::size_t>(units) + static_cast<std::size_t>(u)], exact,
                    (16 + shift - first[u]) * spacing(DType::float32, exact));
      }
    }
  }
}

TEST_F(StackClusterTest, ASampleHasTheSameBitsInEveryBatch) {
  for (const bool softmax : {false, true}) {
    const Case all{
        .batch = 8, .layers = layers_of({30, 300, 7}, ActivationSpec{.kind = ActivationKind::Tanh}), .softmax = softmax};
    const Data data = random_data(all);
    const std::vector<double> wanted = run(all, data);
    for (std::int64_t batch = 1; batch < 8; ++batch) {
      for (std::int64_t first = 0; first + batch <= 8; first += 3) {
        Case part = all;
        part.batch = batch;
        const auto x = data.x.begin() + first * 30;
        const std::vector<double> y = run(part, {{x, x + batch * 30}, data.w, data.b});
        ASSERT_TRUE(std::equal(y.begin(), y.end(), wanted.begin() + first * 7)) << batch << " rows from " << first;
      }
    }
  }
}

TEST_F(StackClusterTest, PassesNaNAndInfinityOnAsSumsDo) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Case c{.batch = 8, .layers = layers_of({11, 170, 5})};
  Data data = random_data(c);
  data.x[3 * 11 + 10] = std::nan("");
  data.x[5 * 11] = kInf;
  data.x[6 * 11] = kInf;
  data.x[6 * 11 + 1] = -kInf;
  data.w[1][169 * 5 + 4] = -kInf;
  data.b[1][2] = kInf;
  check(c, data);
}

TEST_F(StackClusterTest, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float32, true);
  auto* const numbers = static_cast<float*>(memory.data());
  const std::vector<StackLayer> layers = layers_of({4, 4, 4});
  const auto refuses = [&](auto change, std::vector<StackLayer> changed) {
    kernels::Stack args{.layers = {}, .src = numbers, .weights = numbers, .bias = numbers, .dst = numbers + 2048, .batch = 1};
    change(args, changed);
    args.layers = changed;
    return kernels::stack_cluster(args, nullptr) == cudaErrorInvalidValue;
  };
  const auto unchanged = [](auto&, auto&) {};
  EXPECT_TRUE(refuses([&](auto& a, auto&) { a.weights = numbers + 1; }, layers));
  EXPECT_TRUE(refuses([](auto& a, auto&) { a.batch = kernels::kMostClusterRows + 1; }, layers));
  EXPECT_TRUE(refuses([](auto& a, auto&) { a.dtype = DType::float16; }, layers));
  EXPECT_TRUE(refuses([](auto&, auto& l) { l[1].activation.kind = ActivationKind::Softmax; }, layers));
  EXPECT_TRUE(refuses([](auto&, auto& l) { l[1].inputs = 5; }, layers));
  EXPECT_TRUE(refuses(unchanged, layers_of({kernels::kMostClusterWidth + 1, 4})));
  EXPECT_TRUE(refuses(unchanged, layers_of({4, kernels::kMostClusterWidth + 1})));
  EXPECT_TRUE(refuses(unchanged, layers_of({4, 0, 4})));
  EXPECT_TRUE(refuses(unchanged, layers_of({0, 4})));
  EXPECT_TRUE(refuses(unchanged, {{4, 4, {}, false}}));
  EXPECT_TRUE(refuses([](auto&, auto& l) { l[1].added = 2; }, layers));
  EXPECT_TRUE(refuses(unchanged, {}));
  EXPECT_TRUE(refuses(unchanged, layers_of(std::vector<std::int64_t>(kernels::kMostStackLayers + 2, 1))));
}

TEST(ClusterLayoutTest, BlocksHaveTheirUnitsOfEveryLayer) {
  const std::vector<StackLayer> layers = layers_of({9, 64, 33});
  const ClusterLayout layout(layers);
  EXPECT_EQ(ClusterLayout::units_each(layers[0]), 8);
  EXPECT_EQ(ClusterLayout::units_each(layers[1]), 8);
  EXPECT_EQ(layout.at(0, 3, 17), (2 * 9 + 3) * 8 + 1);
  EXPECT_EQ(layout.kernel(1), 9 * 64);
  EXPECT_EQ(layout.elements(), (9 + 64) * 64);
  EXPECT_EQ(layout.bias_elements(), 128);
  const std::vector<StackLayer> activation{{9, 3, {}}, without_product(3), {3, 65, {}}};
  EXPECT_EQ(ClusterLayout(activation).kernel(2), 9 * 32);
  EXPECT_EQ(ClusterLayout(activation).bias(2), 32);
  EXPECT_EQ(ClusterLayout::units_each(activation[2]), 12);
}

}  // namespace
}  // namespace lamella::test
