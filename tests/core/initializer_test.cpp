// SPDX-License-Identifier: Apache-2.0
#include <lamella/initializer.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <lamella/error.hpp>
#include <vector>

namespace lamella {
namespace {

using testing::HasSubstr;

double normal_below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// The Kolmogorov-Smirnov statistic: the largest distance of the sample's distribution function from `below`, times the square
/// root of the sample size.
double kolmogorov(std::vector<double> sample, const std::function<double(double)>& below) {
  std::ranges::sort(sample);
  const auto n = static_cast<double>(sample.size());
  double distance = 0.0;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const double expected = below(sample[i]);
    distance = std::max({distance, expected - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - expected});
  }
  return distance * std::sqrt(n);
}
constexpr double kReject = 1.95;  // rejects at significance 0.001

std::vector<double> drawn(const Initializer& initializer, const Shape& shape, std::uint64_t seed = 7) {
  const Tensor tensor = initialize(initializer, shape, DType::float64, seed);
  const auto span = tensor.span<double>();
  return {span.begin(), span.end()};
}

double stddev(const std::vector<double>& sample) {
  double sum = 0.0;
  double squares = 0.0;
  for (const double x : sample) {
    sum += x;
    squares += x * x;
  }
  const auto n = static_cast<double>(sample.size());
  return std::sqrt(squares / n - sum / n * (sum / n));
}

std::function<double(double)> uniform_below(double low, double high) {
  return [=](double x) { return std::clamp((x - low) / (high - low), 0.0, 1.0); };
}
std::function<double(double)> gauss_below(double mean, double sigma) {
  return [=](double x) { return normal_below((x - mean) / sigma); };
}
std::function<double(double)> cut_below(double mean, double sigma) {
  return [=](double x) { return (normal_below((x - mean) / sigma) - normal_below(-2)) / (normal_below(2) - normal_below(-2)); };
}

template <typename F>
ErrorCode code_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::internal;
}

TEST(InitializerTest, IsFoundByClassNameSnakeNameAndAlias) {
  for (const auto& [name, class_name] :
       std::vector<std::pair<std::string, std::string>>{{"GlorotUniform", "GlorotUniform"},
                                                        {"glorot_uniform", "GlorotUniform"},
                                                        {"glorot_normal", "GlorotNormal"},
                                                        {"he_uniform", "HeUniform"},
                                                        {"HeNormal", "HeNormal"},
                                                        {"lecun_uniform", "LecunUniform"},
                                                        {"lecun_normal", "LecunNormal"},
                                                        {"normal", "RandomNormal"},
                                                        {"random_normal", "RandomNormal"},
                                                        {"uniform", "RandomUniform"},
                                                        {"truncated_normal", "TruncatedNormal"},
                                                        {"variance_scaling", "VarianceScaling"},
                                                        {"one", "Ones"},
                                                        {"zero", "Zeros"},
                                                        {"constant", "Constant"},
                                                        {"identity", "Identity"},
                                                        {"IdentityInitializer", "Identity"},
                                                        {"orthogonal", "Orthogonal"},
                                                        {"OrthogonalInitializer", "Orthogonal"}}) {
    EXPECT_EQ(Initializer(name).class_name, class_name);
  }
}

TEST(InitializerTest, RefusesUnknownNamesAndStftByName) {
  EXPECT_EQ(code_of([] { Initializer("GLOROT_UNIFORM"); }), ErrorCode::value);
  EXPECT_EQ(code_of([] { Initializer(""); }), ErrorCode::value);
  EXPECT_EQ(code_of([] { Initializer("stft"); }), ErrorCode::unsupported);
  EXPECT_EQ(code_of([] { Initializer("STFTInitializer"); }), ErrorCode::unsupported);
  try {
    Initializer("xavier");
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_THAT(error.what(), HasSubstr("he_normal"));
  }
}

TEST(InitializerTest, FillsWithConstants) {
  EXPECT_EQ(drawn("zeros", {3, 2}), std::vector<double>(6, 0.0));
  EXPECT_EQ(drawn("ones", {}), std::vector<double>(1, 1.0));
  EXPECT_EQ(drawn(Initializer::constant(-0.5), {127}), std::vector<double>(127, -0.5));
  EXPECT_EQ(drawn(Initializer::identity(2.0), {2, 3}), (std::vector<double>{2, 0, 0, 0, 2, 0}));
  EXPECT_EQ(drawn(Initializer::identity(), {3, 1}), (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(initialize("ones", {3}, DType::int8).span<std::int8_t>()[2], 1);
}

TEST(InitializerTest, DrawsTheNamedDistribution) {
  const Shape shape{127, 81};
  const double in = 127;
  const double mid = (127.0 + 81.0) / 2.0;
  constexpr double kCut = 0.87962566103423978;
  const auto limit = [](double scale, double fan) { return std::sqrt(3.0 * scale / fan); };
  const auto sigma = [](double scale, double fan) { return std::sqrt(scale / fan); };
  struct Case {
    Initializer initializer;
    std::function<double(double)> below;
  };
  for (const auto& [initializer, below] :
       std::vector<Case>{{Initializer::random_uniform(-1, 3), uniform_below(-1, 3)},
                         {Initializer::random_normal(1, 2), gauss_below(1, 2)},
                         {Initializer::truncated_normal(1, 2), cut_below(1, 2)},
                         {"glorot_uniform", uniform_below(-limit(1, mid), limit(1, mid))},
                         {"he_uniform", uniform_below(-limit(2, in), limit(2, in))},
                         {"lecun_uniform", uniform_below(-limit(1, in), limit(1, in))},
                         {"glorot_normal", cut_below(0, sigma(1, mid) / kCut)},
                         {"he_normal", cut_below(0, sigma(2, in) / kCut)},
                         {"lecun_normal", cut_below(0, sigma(1, in) / kCut)},
                         {Initializer::variance_scaling(3, "fan_out", "uniform"), uniform_below(-limit(3, 81), limit(3, 81))},
                         {Initializer::variance_scaling(3, "fan_out", "untruncated_normal"), gauss_below(0, sigma(3, 81))},
                         {Initializer::variance_scaling(0.5, "fan_avg", "normal"), cut_below(0, sigma(0.5, mid) / kCut)}}) {
    EXPECT_LT(kolmogorov(drawn(initializer, shape), below), kReject) << initializer.config_json();
  }
}

TEST(InitializerTest, TheTestRejectsWrongDistributions) {
  const Shape shape{127, 81};
  EXPECT_GT(kolmogorov(drawn(Initializer::random_normal(0, 1), shape), cut_below(0, 1)), kReject);
  EXPECT_GT(kolmogorov(drawn(Initializer::truncated_normal(0, 1), shape), gauss_below(0, 1)), kReject);
  EXPECT_GT(kolmogorov(drawn(Initializer::random_uniform(-1, 1), shape), uniform_below(-1.05, 1.05)), kReject);
  const double without_correction = std::sqrt(2.0 / 127.0);
  EXPECT_GT(kolmogorov(drawn("he_normal", shape), cut_below(0, without_correction)), kReject);
}

TEST(InitializerTest, HasTheStandardDeviationOfItsScale) {
  const Shape shape{300, 200};
  for (const char* distribution : {"truncated_normal", "untruncated_normal", "uniform"}) {
    const double wanted = std::sqrt(2.0 / 300.0);
    EXPECT_NEAR(stddev(drawn(Initializer::variance_scaling(2.0, "fan_in", distribution), shape)) / wanted, 1.0, 0.012)
        << distribution;
  }
}

TEST(InitializerTest, StaysInsideItsBounds) {
  const double limit = std::sqrt(6.0 / (3.0 + 1027.0));
  for (const double x : drawn("glorot_uniform", {3, 1027})) EXPECT_LT(std::fabs(x), limit);
  for (const double x : drawn(Initializer::truncated_normal(1.0, 0.5), {1027, 31})) EXPECT_LE(std::fabs(x - 1.0), 1.0);
}

TEST(InitializerTest, CountsFansOfEveryRankAndOfNamedAxes) {
  const auto limit_of = [](const Initializer& initializer, const Shape& shape) {
    double most = 0.0;
    for (const double x : drawn(initializer, shape)) most = std::max(most, std::fabs(x));
    return most;
  };
  const auto in = Initializer::variance_scaling(1, "fan_in", "uniform");
  const auto out = Initializer::variance_scaling(1, "fan_out", "uniform");
  EXPECT_NEAR(limit_of(in, {4000}), std::sqrt(3.0 / 4000), 1e-4);
  EXPECT_NEAR(limit_of(in, {5, 4, 30, 20}), std::sqrt(3.0 / 600), 1e-3);
  EXPECT_NEAR(limit_of(out, {5, 4, 30, 20}), std::sqrt(3.0 / 400), 1e-3);
  Initializer axes = in;
  axes.input_axes = {0, -1};
  EXPECT_NEAR(limit_of(axes, {5, 4, 30, 20}), std::sqrt(3.0 / 100), 2e-3);
  axes.input_axes = {4};
  EXPECT_EQ(code_of([&] { static_cast<void>(initialize(axes, {5, 4, 30, 20})); }), ErrorCode::shape);
  EXPECT_LE(limit_of(in, {}), std::sqrt(3.0));
}

TEST(InitializerTest, MakesOrthogonalMatricesOfEveryShape) {
  for (const Shape& shape : {Shape{7, 3}, Shape{3, 7}, Shape{31, 31}, Shape{1, 1}, Shape{1, 5}, Shape{5, 1}, Shape{3, 4, 5}}) {
    constexpr double kGain = 1.5;
    const auto q = drawn(Initializer::orthogonal(kGain), shape);
    const auto cols = static_cast<std::size_t>(shape.back());
    const std::size_t rows = q.size() / cols;
    const bool tall = rows >= cols;
    const std::size_t width = std::min(rows, cols);
    const std::size_t height = std::max(rows, cols);
    const auto at = [&](std::size_t i, std::size_t k) { return tall ? q[i * cols + k] : q[k * cols + i]; };
    for (std::size_t a = 0; a < width; ++a) {
      for (std::size_t b = 0; b < width; ++b) {
        double sum = 0.0;
        for (std::size_t i = 0; i < height; ++i) sum += at(i, a) * at(i, b);
        EXPECT_NEAR(sum, a == b ? kGain * kGain : 0.0, 1e-13) << to_string(shape);
      }
    }
  }
}

TEST(InitializerTest, DependsOnlyOnTheSeedAndOwnSeedsTakePrecedence) {
  EXPECT_EQ(drawn("he_normal", {31, 3}, 1), drawn("he_normal", {31, 3}, 1));
  EXPECT_NE(drawn("he_normal", {31, 3}, 1), drawn("he_normal", {31, 3}, 2));
  Initializer own("he_normal");
  own.seed = 2;
  EXPECT_EQ(drawn(own, {31, 3}, 1), drawn("he_normal", {31, 3}, 2));
}

TEST(InitializerTest, DrawsTheSameWithAnyNumberOfThreads) {
  constexpr std::int64_t kMany = (std::int64_t{1} << 20) + 1027;  // drawn in several parts
  const auto many = drawn("random_normal", {kMany});
  const auto few = drawn("random_normal", {1027});
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
  std::vector<double> sorted = many;
  std::ranges::sort(sorted);
  EXPECT_EQ(std::ranges::adjacent_find(sorted), sorted.end()) << "a part was drawn twice";
}

TEST(InitializerTest, RoundsToNarrowTypesAndRefusesRandomIntegers) {
  const auto wide = drawn("he_normal", {127, 3});
  const Tensor half = initialize("he_normal", {127, 3}, DType::float16, 7);
  const Tensor single = initialize("he_normal", {127, 3}, DType::float32, 7);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    EXPECT_EQ(single.span<float>()[i], static_cast<float>(wide[i]));
    EXPECT_NEAR(static_cast<float>(half.span<float16>()[i]), wide[i], std::fabs(wide[i]) * 0x1p-11 + 0x1p-25);
  }
  EXPECT_EQ(code_of([] { static_cast<void>(initialize("he_normal", {3}, DType::int32)); }), ErrorCode::dtype);
}

TEST(InitializerTest, RefusesWhatItCannotDraw) {
  EXPECT_EQ(code_of([] { static_cast<void>(initialize("identity", {3})); }), ErrorCode::shape);
  EXPECT_EQ(code_of([] { static_cast<void>(initialize("orthogonal", {3})); }), ErrorCode::shape);
  EXPECT_EQ(code_of([] { static_cast<void>(initialize(Initializer::variance_scaling(0.0), {3})); }), ErrorCode::value);
  EXPECT_EQ(code_of([] { static_cast<void>(initialize(Initializer::variance_scaling(1, "fan"), {3})); }), ErrorCode::value);
  EXPECT_EQ(code_of([] { static_cast<void>(initialize(Initializer::variance_scaling(1, "fan_in", "cauchy"), {3})); }),
            ErrorCode::value);
  EXPECT_EQ(code_of([] { static_cast<void>(initialize(Initializer::random_normal(0, -1), {3})); }), ErrorCode::value);
  EXPECT_EQ(code_of([] { static_cast<void>(initialize(Initializer::random_normal(NAN, 1), {3})); }), ErrorCode::value);
  EXPECT_EQ(code_of([] { static_cast<void>(initialize(Initializer::random_uniform(1, -1), {3})); }), ErrorCode::value);
}

TEST(InitializerTest, DrawsNothingForEmptyShapes) {
  for (const char* name : {"zeros", "ones", "he_normal", "orthogonal", "identity", "uniform"}) {
    EXPECT_EQ(initialize(name, {0, 3}).shape(), (Shape{0, 3})) << name;
    EXPECT_EQ(initialize(name, {3, 0}).bytes(), 0U) << name;
  }
}

TEST(InitializerTest, WritesKerasConfigs) {
  EXPECT_EQ(
      Initializer("glorot_uniform").config_json(),
      R"({"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": null}, "registered_name": null})");
  EXPECT_THAT(Initializer("zeros").config_json(), HasSubstr(R"("config": {})"));
  EXPECT_THAT(Initializer::constant(2).config_json(), HasSubstr(R"({"value": 2.0})"));
  EXPECT_THAT(Initializer::random_normal().config_json(), HasSubstr(R"({"mean": 0.0, "stddev": 0.05, "seed": null})"));
  Initializer scaling = Initializer::variance_scaling(1e-7, "fan_avg", "normal");
  scaling.seed = 9;
  scaling.input_axes = {0, 1};
  EXPECT_THAT(
      scaling.config_json(),
      HasSubstr(R"({"scale": 1e-07, "mode": "fan_avg", "distribution": "truncated_normal", "seed": 9, "input_axes": [0, 1]})"));
}

}  // namespace
}  // namespace lamella
