// SPDX-License-Identifier: Apache-2.0
// Determinism::batch_invariant: a row's bits depend on that row alone.
#include <gmock/gmock.h>

#include <lamella/model.hpp>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "device/device_support.hpp"
#include "model/spec_builder.hpp"

namespace lamella::test {
namespace {

constexpr std::int64_t kInputs = 19;
constexpr std::int64_t kUnits = 6;
constexpr std::int64_t kMost = 257;

Model model(Determinism determinism = Determinism::batch_invariant, std::optional<DType> dtype = {}) {
  SpecBuilder builder(5);
  const auto x = builder.input({kInputs});
  const auto hidden = builder.dense(x, kInputs, 37, activation_of("gelu"));
  const auto spec = builder.build({builder.activation(builder.dense(hidden, 37, kUnits), activation_of("softmax"))});
  Options options;
  options.device = device();
  options.determinism = determinism;
  options.dtype = dtype;
  return model_of(spec, options);
}

std::vector<float> rows(std::int64_t count, unsigned seed) {
  std::vector<float> x(static_cast<std::size_t>(count * kInputs));
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(generator);
  return x;
}

/// Predicts rows and returns the bits of each row's result.
std::vector<std::vector<std::uint32_t>> bits(const Model& model, const std::vector<float>& x) {
  const auto count = static_cast<std::int64_t>(x.size()) / kInputs;
  const Tensor y = model.predict(x, {count, kInputs}).to(DType::float32);
  std::vector<std::vector<std::uint32_t>> result;
  for (std::int64_t r = 0; r < count; ++r) {
    auto& row = result.emplace_back();
    for (const float value : y.span<float>().subspan(static_cast<std::size_t>(r * kUnits), kUnits))
      row.push_back(std::bit_cast<std::uint32_t>(value));
  }
  return result;
}

TEST(BatchInvarianceTest, ARowHasTheSameBitsInEveryBatch) {
  const Model m = model();
  const auto x = rows(kMost, 1);
  const auto whole = bits(m, x);
  for (std::int64_t batch = 1; batch < kMost; batch += device().is_cuda() && batch > 9 ? 61 : 1) {
    const std::vector<float> part(x.begin(), x.begin() + batch * kInputs);
    const auto found = bits(m, part);
    for (std::size_t r = 0; r < found.size(); ++r) ASSERT_EQ(found[r], whole[r]) << "row " << r << " of a batch of " << batch;
  }
}

TEST(BatchInvarianceTest, DependsNeitherOnPositionNorNeighbours) {
  for (const std::optional<DType> dtype : {std::optional<DType>{}, std::optional(DType::bfloat16)}) {
    const Model m = model(Determinism::batch_invariant, dtype);
    constexpr std::int64_t kRows = 65;
    const auto x = rows(kRows, 2);
    const auto wanted = bits(m, x);
    std::vector<std::size_t> order(kRows);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (unsigned seed = 0; seed < 3; ++seed) {
      std::shuffle(order.begin(), order.end(), std::mt19937(seed));
      std::vector<float> shuffled;
      for (const std::size_t r : order)
        shuffled.insert(shuffled.end(), x.begin() + static_cast<std::ptrdiff_t>(r) * kInputs,
                        x.begin() + static_cast<std::ptrdiff_t>(r + 1) * kInputs);
      const auto found = bits(m, shuffled);
      for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(found[i], wanted[order[i]]);
    }
    for (const float neighbour : {0.F, std::numeric_limits<float>::quiet_NaN(), 1e30F}) {
      for (const std::size_t keep : {std::size_t{0}, std::size_t{31}, std::size_t{64}}) {
        std::vector<float> alone(x.size(), neighbour);
        std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(keep) * kInputs, kInputs,
                    alone.begin() + static_cast<std::ptrdiff_t>(keep) * kInputs);
        ASSERT_EQ(bits(m, alone)[keep], wanted[keep]) << "among " << neighbour;
      }
    }
  }
}

TEST(BatchInvarianceTest, OnlyEnginesThatPromiseItAreChosen) {
  static constexpr std::int64_t kBatch = 4096;
  static constexpr std::int64_t kWidth = 512;
  const auto constants = constants_of({std::vector<double>(static_cast<std::size_t>(kWidth * kWidth))});
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    const auto engines = [&](Determinism determinism) {
      return engines_that_take(
          ops::DenseDesc{kBatch, kWidth, kWidth, false, {}, dtype, Math::exact, Fusion::automatic, determinism}, constants);
    };
    const auto promising = engines(Determinism::batch_invariant);
    EXPECT_LT(promising.size(), engines(Determinism::run_to_run).size()) << "a wrong choice would not be seen";
    SpecBuilder builder(6);
    Options options;
    options.device = device();
    options.determinism = Determinism::batch_invariant;
    options.dtype = dtype;
    const Model m = model_of(builder.build({builder.dense(builder.input({kWidth}), kWidth, kWidth)}), options);
    int layers = 0;
    const auto explained = nlohmann::json::parse(m.explain({.batch = kBatch, .json = true}));
    for (const auto& step : explained.at("steps")) {
      if (!step.at("op").get<std::string>().starts_with("dense")) continue;
      EXPECT_THAT(promising, testing::Contains(step.at("engine").get<std::string>()));
      ++layers;
    }
    EXPECT_EQ(layers, 1);
  }
}

}  // namespace
}  // namespace lamella::test
