// SPDX-License-Identifier: Apache-2.0
// Misuse of the interface: every call must give one of the library's errors and nothing else, as docs/guarantees.md promises.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <functional>
#include <lamella/lamella.hpp>
#include <limits>
#include <utility>
#include <vector>

#include "model/graph.hpp"

namespace lamella {
namespace {

Options on_cpu() { return {.device = Device::cpu(), .threads = 1}; }

std::string fixture(const std::string& name) { return std::string(LAMELLA_FIXTURES) + "/" + name; }

Model small_model() { return Sequential({Layer(Input({7})), Dense(5, {.activation = "tanh"}), Dense(3)}).compile(on_cpu()); }

Tensor ramp(std::vector<std::int64_t> extents) {
  Tensor x{Shape(extents)};
  float value = -1;
  for (float& element : x.span<float>()) element = value = value > 1 ? -1 : value + 0.0625F;
  return x;
}

std::vector<float> values(const Tensor& tensor) { return {tensor.span<float>().begin(), tensor.span<float>().end()}; }

void expect_error(ErrorCode code, const std::function<void()>& f, const char* says = "") {
  try {
    f();
    ADD_FAILURE() << "nothing was thrown; expected " << to_string(code);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), ::testing::HasSubstr(says));
  }
}

TEST(Misuse, MovedFromHandlesStayValid) {
  Model model = small_model();
  const std::vector<float> wanted = values(model.predict(ramp({2, 7})));
  Model taken = std::move(model);
  EXPECT_EQ(values(model.predict(ramp({2, 7}))), wanted);  // NOLINT(bugprone-use-after-move): the point
  EXPECT_EQ(model.name(), taken.name());
  model = std::move(taken);
  EXPECT_EQ(taken.summary(), model.summary());  // NOLINT(bugprone-use-after-move)

  Layer layer = Dense(4);
  const Layer other = std::move(layer);
  EXPECT_EQ(layer.class_name(), "Dense");  // NOLINT(bugprone-use-after-move)
  KerasTensor x = Input({7});
  const KerasTensor y = std::move(x);
  EXPECT_EQ(x, y);  // NOLINT(bugprone-use-after-move)
  Sequential net({Layer(y), layer});
  const Sequential same = std::move(net);
  EXPECT_EQ(net.summary(), same.summary());  // NOLINT(bugprone-use-after-move)
}

TEST(Misuse, NullIsRefused) {
  expect_error(
      ErrorCode::argument, [] { Dense(3, {.activation = nullptr}); }, "activation");
  const char* const none = nullptr;
  expect_error(
      ErrorCode::argument, [&] { Dense(3, {.kernel_initializer = none}); }, "Initializer");
  expect_error(ErrorCode::argument, [] { static_cast<void>(TensorView(nullptr, Shape{2}, DType::float32)); });
}

TEST(Misuse, InvalidDTypesAreRefused) {
  for (const int number : {50, 255}) {
    const auto none = static_cast<DType>(number);
    EXPECT_EQ(size_of(none), 0U);
    EXPECT_EQ(to_string(none), "no dtype");
    const std::vector<float> memory(4);
    expect_error(ErrorCode::dtype, [&] { static_cast<void>(TensorView(memory.data(), Shape{4}, none)); });
    expect_error(ErrorCode::dtype, [&] { static_cast<void>(Tensor(Shape{4}, none)); });
    expect_error(ErrorCode::dtype, [&] { static_cast<void>(Tensor::zeros(Shape{4}).to(none)); });
    expect_error(ErrorCode::dtype, [&] { static_cast<void>(initialize("zeros", Shape{4}, none)); });
    Options options = on_cpu();
    options.dtype = none;
    expect_error(ErrorCode::dtype, [&] { static_cast<void>(Model::load(fixture("keras3/dense/model.keras"), options)); });
  }
}

TEST(Misuse, ResultsIntoTheMemoryOfTheInputAreRefused) {
  const Model model = Sequential({Layer(Input({6})), Dense(6)}).compile(on_cpu());
  std::vector<float> memory(200);
  const auto at = [&](std::size_t offset) { return MutableTensorView(memory.data() + offset, Shape{10, 6}, DType::float32); };
  for (const std::size_t offset : {0U, 1U, 6U, 59U}) {
    expect_error(
        ErrorCode::argument, [&] { model.predict_into(at(0), at(offset)); }, "share memory");
    expect_error(
        ErrorCode::argument, [&] { model.predict_into(at(offset), at(0)); }, "share memory");
  }
  model.predict_into(at(0), at(60));
  model.predict_into(at(60), at(0));
  const MutableTensorView nothing(memory.data(), Shape{0, 6}, DType::float32);
  model.predict_into(nothing, nothing);
}

TEST(Sizes, ThatDoNotFitInto64BitsAreRefusedByTheLayerThatMakesThem) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62U;
  const auto concatenated = [&](std::int64_t extent) {
    const KerasTensor a = Input({extent});
    const KerasTensor b = Input({extent});
    static_cast<void>(Functional({a, b}, Concatenate()({a, b})).compile(on_cpu()));
  };
  concatenated(kHuge / 2);
  expect_error(
      ErrorCode::overflow, [&] { concatenated(kHuge); }, "concatenate");
  const auto broadcast = [&](std::int64_t extent) {
    const KerasTensor a = Input({extent, 1});
    const KerasTensor b = Input({1, extent});
    static_cast<void>(Functional({a, b}, Add()({a, b})).compile(on_cpu()));
  };
  expect_error(
      ErrorCode::overflow, [&] { broadcast(std::int64_t{1} << 33U); }, "add");
  const KerasTensor x = Input({2});
  expect_error(ErrorCode::shape, [&] {
    static_cast<void>(Reshape(std::vector<std::int64_t>(17, 1))(x));
    Functional(x, Reshape(std::vector<std::int64_t>(17, 1))(x));
  });
}

TEST(Sizes, OfImpossibleWorkAreCountedUpToTheLargestNumber) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  ops::DenseDesc dense;
  dense.batch = std::int64_t{1} << 62U;
  dense.inputs = 3;
  dense.units = 2;
  EXPECT_EQ(model::flops_of(dense), kMost);
  EXPECT_EQ(model::bytes_of(dense), kMost);
  dense.batch = 5;
  EXPECT_EQ(model::flops_of(dense), 5 * 2 * 6);
  EXPECT_EQ(model::bytes_of(dense), 4 * (15 + 6 + 10));
  const Model model = small_model();
  for (const std::int64_t batch : {std::int64_t{1} << 50U, std::int64_t{1} << 62U, kMost}) {
    try {
      const std::string plan = model.explain({.batch = batch});
      EXPECT_EQ(plan.find("-9"), std::string::npos) << plan;
      EXPECT_THAT(model.explain({.batch = batch, .json = true}), ::testing::Not(::testing::HasSubstr(": -")));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::overflow) << error.what();
    }
  }
}

TEST(Threads, ChangeNoBitWithBatchInvariant) {
  const Sequential net({Layer(Input({300})), Dense(200, {.activation = "tanh"}), Dense(70)});
  std::vector<float> wanted;
  for (const int threads : {1, 2, 3, 7}) {
    const Model model = net.compile({.device = Device::cpu(), .determinism = Determinism::batch_invariant, .threads = threads});
    const std::vector<float> found = values(model.predict(ramp({1000, 300})));
    if (wanted.empty()) wanted = found;
    EXPECT_EQ(std::memcmp(found.data(), wanted.data(), found.size() * sizeof(float)), 0) << threads << " threads";
  }
}

TEST(Float64, InputsAreNotRoundedToFloat32First) {
  const Sequential net({Layer(Input({3})), Dense(2, {.kernel_initializer = "ones"})});
  const Model model = net.compile({.device = Device::cpu(), .dtype = DType::float64, .threads = 1});
  EXPECT_EQ(model.input_dtype(), DType::float64);
  const std::vector<double> x{1 + 1e-12, 2, 1e-300};
  const TensorView view(std::span<const double>(x), Shape{1, 3});
  EXPECT_EQ(model.predict(view).span<double>()[0], 3 + 1e-12);
  Tensor y(Shape{1, 2}, DType::float64);
  model.predict_into(view, y);
  EXPECT_EQ(y.span<double>()[1], 3 + 1e-12);
}

TEST(WithActivation, UsesTheHardSigmoidOfTheKerasThatWroteTheFile) {
  const Tensor x = ramp({4, 7});
  const auto answer = [&](const std::string& file, HardSigmoid meant, const char* activation) {
    Options options = on_cpu();
    options.hard_sigmoid = meant;
    const Model model = Model::load(fixture(file), options);
    return values(model.with_activation("dense", activation).predict(x));
  };
  const auto check = [&](const std::string& file, HardSigmoid meant, bool keras2) {
    const std::vector<float> linear = answer(file, meant, "linear");
    const std::vector<float> found = answer(file, meant, "hard_sigmoid");
    for (std::size_t i = 0; i < linear.size(); ++i) {
      const double z = static_cast<double>(linear[i]);
      const double wanted = std::clamp((keras2 ? 0.2 * z : z / 6) + 0.5, 0.0, 1.0);
      EXPECT_NEAR(static_cast<double>(found[i]), wanted, 1e-6) << file;
    }
  };
  check("keras2/h5_dense/model.h5", HardSigmoid::as_written, true);
  check("keras2/h5_dense/model.h5", HardSigmoid::keras3, false);
  check("keras3/dense/model.keras", HardSigmoid::as_written, false);
  check("keras3/dense/model.keras", HardSigmoid::keras2, true);
}

TEST(WithActivation, ChangesALayerInAllNestedModelsThatShareIt) {
  const Layer shared = Dense(4, {.activation = "tanh", .name = "shared"});
  const auto nested = [&](const char* name) {
    const KerasTensor x = Input({4});
    return Functional(x, shared(x), {.name = name});
  };
  const Functional first = nested("first");
  const Functional second = nested("second");
  const KerasTensor x = Input({4});
  const Model model = Functional(x, {first(x), second(x)}).compile(on_cpu());
  const Tensor input = ramp({3, 4});
  const auto both = [&](const Model& of) {
    const TensorView view = input;
    return of.predict(std::span(&view, 1));
  };
  const auto before = both(model);
  ASSERT_EQ(values(before[0]), values(before[1]));
  const Model changed = model.with_activation("first/shared", "relu");
  const auto after = both(changed);
  EXPECT_NE(values(after[0]), values(before[0]));
  EXPECT_EQ(values(after[1]), values(after[0]));
  EXPECT_EQ(values(both(model)[1]), values(before[1])) << "the old model changed";
}

#if defined(__x86_64__) && defined(__GLIBC__)
/// Runs f in a floating-point environment that a program may have set, and checks that f leaves it unchanged.
template <typename F>
void within(int exceptions, int rounding, const F& f) {
  std::fenv_t before;
  std::fegetenv(&before);
  std::feclearexcept(FE_ALL_EXCEPT);
  std::fesetround(rounding);
  ::feenableexcept(exceptions);
  f();
  EXPECT_EQ(::fegetexcept(), exceptions);
  EXPECT_EQ(std::fegetround(), rounding);
  std::fesetenv(&before);
}

TEST(FloatingPointOfTheCaller, NeitherEndsTheProcessNorChangesABit) {
  const auto work = [] {
    std::vector<std::vector<float>> results;
    const Model model = Model::load(fixture("keras3/dense_chain/model.keras"), {.device = Device::cpu(), .threads = 3});
    std::vector<std::int64_t> extents = model.input_shape();
    extents.insert(extents.begin(), 700);
    Tensor x = ramp(extents);
    x.span<float>()[0] = NAN;
    x.span<float>()[20] = INFINITY;
    x.span<float>()[40] = 3e38F;
    x.span<float>()[60] = 1e-42F;
    std::vector<std::string> engines = engine_names(Device::cpu());
    engines.emplace_back();  // chosen for each layer
    for (const std::string& engine : engines) {
      Options options{.device = Device::cpu(), .engine = engine, .threads = 3};
      for (const char* activation : {"tanh", "exponential", "softmax", "log_softmax", "gelu"}) {
        try {
          const Model changed =
              Model::load(fixture("keras3/dense_chain/model.keras"), options).with_activation("dense", activation);
          results.push_back(values(changed.predict(x)));
        } catch (const ArgumentError&) {
          EXPECT_NE(engine, "");  // it may refuse an activation
        }
      }
    }
    Tensor y(Shape{700, model.output_shape()[0]});
    model.predict_into(x, y);
    results.push_back(values(y));
    results.push_back(values(x.to(DType::bfloat16).to(DType::float32)));
    results.push_back(values(x.to(DType::float64).to(DType::float16).to(DType::float32)));
    results.push_back(values(x.to(DType::int32).to(DType::float32)));
    results.push_back(values(initialize("glorot_uniform", Shape{9, 9})));
    Sequential net({Layer(Input({9})), LayerNormalization(), Dense(9, {.kernel_initializer = "orthogonal"})});
    results.push_back(values(net.compile({.device = Device::cpu()}).predict(ramp({3, 9}))));
    static_cast<void>(model.explain());
    static_cast<void>(model.summary());
    return results;
  };
  const auto wanted = work();
  for (const int exceptions : {0, FE_ALL_EXCEPT & ~FE_INEXACT, FE_ALL_EXCEPT}) {
    for (const int rounding : {FE_TONEAREST, FE_UPWARD, FE_TOWARDZERO}) {
      std::vector<std::vector<float>> found;
      within(exceptions, rounding, [&] { found = work(); });
      ASSERT_EQ(found.size(), wanted.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i].size(), wanted[i].size());
        EXPECT_EQ(std::memcmp(found[i].data(), wanted[i].data(), found[i].size() * sizeof(float)), 0) << "result " << i;
      }
    }
  }
}
#endif

}  // namespace
}  // namespace lamella
