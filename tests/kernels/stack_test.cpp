// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/activation_error.hpp"
#include "tests/kernels/stack_support.hpp"

namespace lamella::test {
namespace {

using kernels::StackPlaces;

/// A layer's result in float32, with sums in the promised order; activations are linear or relu, which are exact.
std::vector<float> result_of(const Case& c, const Data& data, std::size_t n, const std::vector<float>& x) {
  const StackLayer& layer = c.layers[n];
  std::vector<float> y = x;
  if (layer.is_dense) y.assign(static_cast<std::size_t>(c.batch * layer.units), 0);
  for (std::int64_t b = 0; layer.is_dense && b < c.batch; ++b) {
    for (std::int64_t u = 0; u < layer.units; ++u) {
      float sum = 0;
      for (std::int64_t i = 0; i < layer.inputs; ++i)
        sum = std::fma(x[static_cast<std::size_t>(b * layer.inputs + i)],
                       static_cast<float>(data.w[n][static_cast<std::size_t>(i * layer.units + u)]), sum);
      if (c.has_bias(n)) sum += static_cast<float>(data.b[n][static_cast<std::size_t>(u)]);
      y[static_cast<std::size_t>(b * layer.units + u)] = sum;
    }
  }
  if (layer.activation.kind == ActivationKind::Relu) {
    for (float& value : y) value = 0 > value ? 0 : value;
  }
  return y;
}
std::vector<double> expected(const Case& c, const Data& data) {
  std::vector<std::vector<float>> values{{data.x.begin(), data.x.end()}};
  for (std::size_t n = 0; n < c.layers.size(); ++n) {
    std::vector<float> y = result_of(c, data, n, taken(c, n, values));
    const int added = c.layers[n].added;
    for (std::size_t i = 0; added != StackLayer::kNothing && i < y.size(); ++i)
      y[i] += values[static_cast<std::size_t>(added)][i];
    values.push_back(std::move(y));
  }
  return {values.back().begin(), values.back().end()};
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void check(const Case& c, const Data& data) {
  const std::vector<double> y = run(c, data);
  const std::vector<double> wanted = expected(c, data);
  ASSERT_EQ(y.size(), wanted.size());
  const auto units = static_cast<std::size_t>(c.layers.back().units);
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_TRUE(same(y[i], wanted[i])) << c.batch << " rows, " << c.layers.size() << " layers, from " << c.layers[0].inputs
                                       << " to " << units << ", at " << i / units << ", " << i % units << ": " << wanted[i]
                                       << ", got " << y[i];
  }
}
void check(const Case& c) { check(c, random_data(c)); }

TEST(StackTest, IsRightInAnyShape) {
  for (const StackTile tile : kTiles) {
    for (const std::int64_t batch : {0, 1, 7, 9, 16, 17}) {
      check({.tile = tile, .batch = batch, .layers = layers_of({4, 24, 2}, ActivationSpec{.kind = ActivationKind::Relu})});
      check({.tile = tile, .batch = batch, .layers = layers_of({63, 1, 9, 64}), .bias = {true, false, true}});
      check({.tile = tile, .batch = batch, .layers = layers_of({128, 65, 3}, ActivationSpec{.kind = ActivationKind::Relu})});
      check({.tile = tile, .batch = batch, .layers = layers_of({1, 127, 8, 31}), .bias = {false, false, true}});
    }
  }
  for (const std::int64_t batch : {63, 64, 65, 127, 129, 260}) {
    check({.tile = StackTile::many_rows,
           .batch = batch,
           .layers = layers_of({5, 17, 33}, ActivationSpec{.kind = ActivationKind::Relu})});
    check({.tile = StackTile::many_rows, .batch = batch, .layers = layers_of({12, 70, 100})});
  }
}

TEST(StackTest, OneLayerAndTheMaximum) {
  for (const StackTile tile : kTiles) {
    check({.tile = tile, .batch = 5, .layers = layers_of({20, 30})});
    check({.tile = tile, .batch = 19, .layers = layers_of(std::vector<std::int64_t>(kernels::kMostStackLayers + 1, 6))});
    check({.tile = tile, .batch = 3, .layers = layers_of(std::vector<std::int64_t>(9, 128))});
  }
}

TEST(StackTest, AFirstLayerOfManyInputs) {
  for (const StackTile tile : kTiles) {
    for (const std::int64_t inputs : {65, 72, 129, 136, 203, 255, 256}) {
      check({.tile = tile, .batch = 9, .layers = layers_of({inputs, 5, 33}, ActivationSpec{.kind = ActivationKind::Relu})});
      check({.tile = tile, .batch = 17, .layers = layers_of({inputs, 128, 3}), .bias = {false, true}});
    }
  }
  check({.tile = StackTile::many_rows, .batch = 131, .layers = layers_of({203, 64, 7})});
  check({.tile = StackTile::many_rows, .batch = 67, .layers = layers_of({241, 100})});
}

TEST(StackTest, AddsWhatWasBefore) {
  constexpr auto kRelu = ActivationKind::Relu;
  const ActivationSpec relu{.kind = kRelu};
  for (const StackTile tile : kTiles) {
    for (const std::int64_t width : {1, 30, 64, 67, 128}) {
      const StackLayer dense{width, width, relu};
      const StackLayer linear{width, width, {}};
      const std::vector<std::vector<StackLayer>> all{
          {plus(dense, 0)},
          {dense, plus(linear, 0), {width, 3, {}}},
          {{7, width, relu}, dense, plus(linear, 1), without_product(width, kRelu), dense, plus(linear, 4), {width, 5, {}}},
          {{200, width, relu}, plus(dense, 1), plus(dense, 2), plus(dense, 1)},
          {linear, without_product(width, kRelu), dense, plus(dense, 1), without_product(width, kRelu, 0),
           without_product(width)},
          {dense, dense, dense, plus(dense, 3), plus(dense, 2), plus(dense, 1), plus(dense, 0)}};
      for (const auto& layers : all) check({.tile = tile, .batch = 19, .layers = layers});
    }
    check({.tile = tile, .batch = 133, .layers = {{9, 20, relu}, {20, 20, relu}, plus({20, 20, {}}, 1)}});
    const Case c{.tile = tile, .batch = 3, .layers = {{4, 4, {}}, {4, 4, {}}, plus({4, 4, {}}, 1)}};
    Data data = random_data(c);
    data.x[1] = std::nan("");
    data.x[5] = std::numeric_limits<double>::infinity();
    check(c, data);
  }
}

TEST(StackTest, TakesTwoValuesSideBySide) {
  constexpr auto kRelu = ActivationKind::Relu;
  const ActivationSpec relu{.kind = kRelu};
  for (const StackTile tile : kTiles) {
    const std::vector<std::vector<StackLayer>> all{
        {{9, 7, relu}, side_by_side(0, 1, 16)},
        {{9, 7, relu}, side_by_side(1, 0, 16), {16, 5, {}}},
        {{9, 7, relu}, side_by_side(1, 1, 14, kRelu), plus({14, 14, relu}, 2)},
        {{9, 50, {}}, {50, 11, relu}, side_by_side(1, 2, 61), side_by_side(3, 1, 111), {111, 3, {}}},
        {{9, 50, {}}, {50, 50, relu}, side_by_side(2, 1, 100), without_product(100, kRelu, 3), {100, 128, {}}},
        {{9, 4, {}}, side_by_side(0, 1, 13), {13, 4, relu}, side_by_side(2, 3, 17), {17, 4, relu}, side_by_side(4, 5, 21)},
        layers_that_reuse_places(relu)};
    for (const auto& layers : all) {
      for (const std::int64_t batch : {1, 19, 131}) check({.tile = tile, .batch = batch, .layers = layers});
    }
    const Case c{.tile = tile, .batch = 2, .layers = {{4, 4, {}}, side_by_side(1, 0, 8), {8, 2, {}}}};
    Data data = random_data(c);
    data.x[5] = std::numeric_limits<double>::infinity();
    check(c, data);
  }
}

TEST(StackTest, RandomStructuresAreWhatTheirLayersAre) {
  std::mt19937 random(11);
  for (int n = 0; n < 60; ++n) {
    const Case c = random_case(random, n % 3 == 0);
    SCOPED_TRACE(n);
    ASSERT_NO_FATAL_FAILURE(check(c, random_data(c)));
  }
}

TEST(StackTest, LayersWithoutInputsOrUnits) {
  for (const StackTile tile : kTiles) {
    check({.tile = tile, .batch = 5, .layers = layers_of({0, 3, 2})});
    check({.tile = tile, .batch = 5, .layers = layers_of({3, 0, 2})});
    check({.tile = tile, .batch = 5, .layers = layers_of({3, 2, 0})});
  }
}

/// In each sum only one product is not 0, and in the second layer it multiplies by 1, so that errors are the activations' alone.
TEST(StackTest, AppliesEveryActivationBetweenLayersAndAtTheEnd) {
  constexpr std::int64_t kUnits = 67;
  std::vector<double> factors(kUnits);
  for (std::size_t i = 0; i < factors.size(); ++i) factors[i] = (static_cast<double>(i) - 33) / 8;
  std::vector<double> identity(kUnits * kUnits);
  for (std::size_t i = 0; i < kUnits; ++i) identity[i * kUnits + i] = 1;
  const Data data{{1, -0.5, 2}, {factors, identity}, {std::vector<double>(kUnits, 0.25), std::vector<double>(kUnits)}};
  for (const ActivationKind kind : elementwise_kinds()) {
    const std::array<float, 3> p = measured_parameters(kind)[0];
    const ActivationSpec activation{kind, {p[0], p[1], p[2]}};
    for (const StackTile tile : kTiles) {
      for (const std::size_t layers : {1U, 2U}) {
        Case c{.tile = tile, .batch = 3, .layers = {{1, kUnits, activation}, {kUnits, kUnits, {}}}};
        c.layers.resize(layers);
        const std::vector<double> y = run(c, data);
        bool hidden_nan = false;  // NaN times 0 is NaN in every sum
        for (std::size_t i = 0; i < y.size(); ++i) {
          const double sum = data.x[i / kUnits] * factors[i % kUnits] + 0.25;
          const double exact = truths().at(to_string(kind))(sum, activation.parameters);
          if (layers == 2 && i % kUnits == 0) {
            hidden_nan = false;
            for (std::size_t u = 0; u < kUnits; ++u)
              hidden_nan |=
                  !std::isfinite(truths().at(to_string(kind))(data.x[i / kUnits] * factors[u] + 0.25, activation.parameters));
          }
          if (hidden_nan) {
            ASSERT_TRUE(std::isnan(y[i]) || std::isinf(y[i])) << to_string(kind);
            continue;
          }
          ASSERT_TRUE(is_rounded(y[i], exact, DType::float32, activation_error(kind, DType::float32, sum, exact)))
              << to_string(kind) << " of " << sum << " in layer 1 of " << layers << ": " << exact << ", got " << y[i];
        }
      }
    }
  }
}

TEST(StackTest, EndsInASoftmaxOfTheRow) {
  for (const StackTile tile : kTiles) {
    for (const std::int64_t units : {1, 2, 10, 33, 64, 100, 128}) {
      const Case c{.tile = tile, .batch = 21, .layers = layers_of({12, 40, units}), .softmax = true};
      const Data data = random_data(c);
      const std::vector<double> y = run(c, data);
      const std::vector<double> z = expected(c, data);
      for (std::size_t row = 0; row < 21; ++row) {
        const auto first = z.begin() + static_cast<std::ptrdiff_t>(row) * units;
        const double shift = *std::max_element(first, first + units);
        double total = 0;
        for (std::int64_t u = 0; u < units; ++u) total += std::exp(first[u] - shift);
        for (std::int64_t u = 0; u < units; ++u) {
          const double exact = std::exp(first[u] - shift) / total;
          const double error =
              (8 + shift - first[u]) * spacing(DType::float32, exact);  // the distance is rounded before exp() is applied
          ASSERT_NEAR(y[row * static_cast<std::size_t>(units) + static_cast<std::size_t>(u)], exact, error);
        }
      }
    }
  }
}

TEST(StackTest, SoftmaxOfNaNAndInfinityIsThatOfKeras) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const StackTile tile : kTiles) {
    const Case c{.tile = tile, .batch = 4, .layers = layers_of({3, 3}), .softmax = true};
    const Data data{
        {1, std::nan(""), 2, 0, kInf, 1, -kInf, -kInf, -kInf, -kInf, 5, 5}, {{1, 0, 0, 0, 1, 0, 0, 0, 1}}, {{0, 0, 0}}};
    const std::vector<double> y = run(c, data);
    for (std::size_t i = 0; i < 9; ++i) EXPECT_TRUE(std::isnan(y[i])) << i;
    EXPECT_TRUE(std::isnan(y[9]) && std::isnan(y[10]) &&
                std::isnan(y[11]));  // -infinity times 0 makes each of the row's sums NaN
  }
}

TEST(StackTest, ASampleHasTheSameBitsInEveryBatchAndTile) {
  for (const bool softmax : {false, true}) {
    for (const std::int64_t widest : {50, 100}) {
      const Case all{.tile = StackTile::many_rows,
                     .batch = 140,
                     .layers = layers_of({30, widest, 7}, ActivationSpec{.kind = ActivationKind::Tanh}),
                     .softmax = softmax};
      const Data data = random_data(all);
      expect_bits_of_parts(all, data, run(all, data), kTiles, {1, 9, 70});
    }
  }
}

TEST(StackTest, PassesNaNAndInfinityOnAsSumsDo) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const StackTile tile : kTiles) {
    const Case c{.tile = tile, .batch = 20, .layers = layers_of({11, 70, 5})};
    Data data = random_data(c);
    data.x[3 * 11 + 10] = std::nan("");
    data.x[17 * 11] = kInf;
    data.x[18 * 11] = kInf;
    data.x[18 * 11 + 1] = -kInf;
    data.w[1][69 * 5 + 4] = -kInf;
    data.b[1][2] = kInf;
    check(c, data);
  }
}

TEST(StackTest, InfinityDoesNotReachTheUnitsThatPadALayer) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const StackTile tile : kTiles) {
    const Case c{.tile = tile, .batch = 2, .layers = layers_of({1, 67, 3, 2})};
    Data data{{kInf, 1}, {}, {}};
    for (const StackLayer& layer : c.layers) {
      data.w.emplace_back(static_cast<std::size_t>(layer.inputs * layer.units), 0.5);
      data.b.emplace_back(static_cast<std::size_t>(layer.units), 0.25);
    }
    check(c, data);
  }
}

TEST(StackTest, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float32, true);
  auto* const numbers = static_cast<float*>(memory.data());
  const std::vector<StackLayer> layers = layers_of({4, 4, 4});
  const auto answer = [&](auto change, std::vector<StackLayer> changed) {
    kernels::Stack args{.layers = {}, .src = numbers, .weights = numbers, .bias = numbers, .dst = numbers + 2048, .batch = 1};
    change(args, changed);
    args.layers = changed;
    return kernels::stack(args, nullptr);
  };
  const auto unchanged = [](auto&, auto&) {};
  EXPECT_EQ(answer([&](auto& a, auto&) { a.weights = numbers + 1; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1].activation.kind = ActivationKind::Softmax; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1].inputs = 5; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer(unchanged, layers_of({kernels::kMostStackInputs + 1, 4})), cudaErrorInvalidValue);
  EXPECT_EQ(answer(unchanged, {{4, 4, {}, false}}), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1] = {4, 3, {}, false}; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1].added = 2; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1].added = -2; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1] = plus({4, 3, {}}, 0); }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1] = side_by_side(0, 2, 8); }, {{4, 4, {}}, {}}), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1] = side_by_side(0, 1, 7); }, {{4, 4, {}}, {}}), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1] = side_by_side(0, StackLayer::kNothing, 4); }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1].joined = {0, 1}; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto&, auto& l) { l[1].joined[1] = 1; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer(unchanged, layers_of({4, 129})), cudaErrorInvalidValue);
  EXPECT_EQ(answer(unchanged, {}), cudaErrorInvalidValue);
  EXPECT_EQ(answer([](auto& a, auto&) { a.dtype = DType::float64; }, layers), cudaErrorInvalidValue);
  EXPECT_EQ(answer(unchanged, layers_of(std::vector<std::int64_t>(kernels::kMostStackLayers + 2, 1))), cudaErrorInvalidValue);
}

TEST(StackLayoutTest, KernelsFollowOneAnother) {
  const std::vector<StackLayer> narrow = layers_of({9, 64, 1});
  EXPECT_EQ(StackLayout(narrow, DType::float32).width(), 64);
  EXPECT_EQ(StackLayout(narrow, DType::float32).kernel(1), 16 * 64);
  EXPECT_EQ(StackLayout(narrow, DType::float32).elements(), (16 + 64) * 64);
  const std::vector<StackLayer> many_inputs = layers_of({129, 64});
  EXPECT_EQ(StackLayout(many_inputs, DType::float32).width(), 64);
  EXPECT_EQ(StackLayout(many_inputs, DType::float32).elements(), 136 * 64);
  const std::vector<StackLayer> activation{{9, 3, {}}, without_product(3), {3, 64, {}}};
  EXPECT_EQ(StackLayout(activation, DType::float32).kernel(2), 16 * 64);
  EXPECT_EQ(StackLayout(activation, DType::float32).bias(2), 64);
  EXPECT_EQ(StackLayout(activation, DType::float32).bias_elements(), 2 * 64);
  const std::vector<StackLayer> wide = layers_of({9, 65, 1});
  EXPECT_EQ(StackLayout(wide, DType::float32).width(), 128);
  EXPECT_EQ(StackLayout(wide, DType::float32).elements(), (16 + 72) * 128);
  EXPECT_EQ(StackLayout(wide, DType::float32).bias_elements(), 2 * 128);
}

TEST(StackPlacesTest, OneThatIsNotNeededAnyMoreIsUsedAgain) {
  const StackLayer dense{4, 4, {}};
  const std::vector<StackLayer> blocks{dense, dense, plus(dense, 1), dense, plus(dense, 3)};
  EXPECT_EQ(StackPlaces(blocks).count(), 1);
  EXPECT_EQ(StackPlaces(blocks).of(0), 0);
  EXPECT_EQ(StackPlaces(blocks).of(2), 0);
  EXPECT_EQ(StackPlaces(blocks).of(1), StackLayer::kNothing);
  const std::vector<StackLayer> nested{dense, dense, plus(dense, 2), plus(dense, 1), plus(dense, 2)};
  EXPECT_EQ(StackPlaces(nested).count(), 2);
  EXPECT_EQ(StackPlaces(std::vector<StackLayer>{plus(dense, 0)}).count(), 0);
  const std::vector<StackLayer> joined{dense, side_by_side(0, 1, 8), plus({8, 8, {}}, 2), plus({8, 8, {}}, 3)};
  EXPECT_EQ(StackPlaces(joined).of(0), 0);
  EXPECT_EQ(StackPlaces(joined).of(1), 1);  // while the first is read by all threads
  EXPECT_EQ(StackPlaces(joined).of(2), 0);
  EXPECT_EQ(StackPlaces(joined).count(), 2);
}

}  // namespace
}  // namespace lamella::test
