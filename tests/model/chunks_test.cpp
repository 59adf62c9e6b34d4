// SPDX-License-Identifier: Apache-2.0
#include "model/rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <lamella/model.hpp>
#include <nlohmann/json.hpp>
#include <random>

#include "model/spec_builder.hpp"

namespace lamella::test {
namespace {

constexpr std::int64_t kInputs = 33;
constexpr std::int64_t kUnits = 65;

std::shared_ptr<const core::ModelSpec> spec() {
  SpecBuilder builder(3);
  const auto x = builder.input({kInputs});
  const auto hidden = builder.dense(x, kInputs, 127, activation_of("tanh"));
  return builder.build({builder.activation(builder.dense(hidden, 127, kUnits), activation_of("log_softmax"))});
}

Options options(int threads, Determinism determinism = Determinism::batch_invariant) {
  Options result;
  result.device = Device::cpu();
  result.threads = threads;
  result.determinism = determinism;
  return result;
}

Tensor rows(std::int64_t count) {
  Tensor x(Shape{count, kInputs});
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  for (float& value : x.span<float>()) value = normal(generator);
  return x;
}

model::Graph graph() {
  model::ConstantsPool pool;
  model::Graph result = model::lower(*spec(), {Shape{kInputs}}, options(1), pool);
  model::fuse(result, pool);
  return result;
}

TEST(Chunks, CoverAllRowsWithinTheirLimits) {
  const model::Graph g = graph();
  for (const std::int64_t count : {0, 1, 2, 15, 16, 31, 32, 33, 127, 256, 257, 1027, 4096, 100'003}) {
    for (const int threads : {1, 2, 3, 8, 64}) {
      for (const std::int64_t most : {1, 100, 4096}) {
        const model::Chunks c = model::chunks_of(g, count, threads, most);
        SCOPED_TRACE(::testing::Message() << count << " rows, " << threads << " threads, at most " << most);
        if (count == 0) {
          EXPECT_EQ(c.count, 0);
          continue;
        }
        EXPECT_GE(c.rows, 1);
        EXPECT_LE(c.rows, most);
        EXPECT_GE(c.last_rows(count), 1);
        EXPECT_LE(c.last_rows(count), c.rows);
        EXPECT_EQ((c.count - 1) * c.rows + c.last_rows(count), count);
        EXPECT_GE(c.at_once, 1);
        EXPECT_LE(c.at_once, threads);
        EXPECT_EQ(c.threads, c.at_once == 1 ? threads : 1);
      }
    }
  }
}

TEST(Chunks, AreOneForFewRowsAndParallelForMany) {
  const model::Graph g = graph();
  EXPECT_EQ(model::chunks_of(g, 8, 2, 4096).count, 1);
  EXPECT_EQ(model::chunks_of(g, 8, 2, 4096).threads, 2);
  EXPECT_EQ(model::chunks_of(g, 4096, 2, 4096).at_once, 2);
  EXPECT_GT(model::chunks_of(g, 4096, 2, 4096).count, 2);
}

TEST(Chunks, DoNotAffectResults) {
  const Model one = model_of(spec(), options(1));
  for (const std::int64_t count : {0, 1, 2, 31, 32, 33, 127, 1027, 2500}) {
    const Tensor x = rows(count);
    Tensor wanted(Shape{count, kUnits});
    for (std::int64_t r = 0; r < count; ++r) {
      const Tensor y = one.predict(x.span<float>().subspan(static_cast<std::size_t>(r * kInputs), kInputs), {1, kInputs});
      std::copy_n(y.span<float>().data(), kUnits, wanted.span<float>().data() + r * kUnits);
    }
    for (const int threads : {1, 2, 3}) {
      const Model model = model_of(spec(), options(threads));
      Tensor y(Shape{count, kUnits});
      for (float& value : y.span<float>()) value = std::numeric_limits<float>::quiet_NaN();
      model.predict_into(x, y);
      const Tensor again = model.predict(x);
      for (std::size_t i = 0; i < static_cast<std::size_t>(count * kUnits); ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(y.span<float>()[i]), std::bit_cast<std::uint32_t>(wanted.span<float>()[i]))
            << "element " << i << " of " << count << " rows, " << threads << " threads";
        ASSERT_EQ(std::bit_cast<std::uint32_t>(again.span<float>()[i]), std::bit_cast<std::uint32_t>(wanted.span<float>()[i]));
      }
    }
  }
}

TEST(Chunks, AreShownByExplainWithTheWorkOfAllRows) {
  const Model model = model_of(spec(), options(2, Determinism::run_to_run));
  const auto one = nlohmann::json::parse(model.explain({.batch = 1, .json = true}));
  const auto many = nlohmann::json::parse(model.explain({.batch = 4096, .json = true}));
  EXPECT_FALSE(one.contains("chunks"));
  EXPECT_EQ(many.at("batch"), 4096);
  EXPECT_EQ(many.at("chunks").at("at_once"), 2);
  EXPECT_EQ(many.at("steps")[0].at("flops").get<std::int64_t>(), 4096 * one.at("steps")[0].at("flops").get<std::int64_t>());
  const std::string text = model.explain({.batch = 4096});
  EXPECT_THAT(text, ::testing::HasSubstr(" at a time"));
  EXPECT_THAT(text, ::testing::ContainsRegex("engine [a-z_]+ \\([0-9.e+]+ us a chunk, predicted\\)"));
  EXPECT_THAT(text, ::testing::ContainsRegex("not [a-z_]+: [0-9.e+]+ us a chunk, predicted"));
  EXPECT_THAT(model.explain({.batch = 1}), ::testing::ContainsRegex("not [a-z_]+: [0-9.e+]+ us, predicted"));
}

}  // namespace
}  // namespace lamella::test
