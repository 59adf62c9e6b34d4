// SPDX-License-Identifier: Apache-2.0
// Which of cuBLASLt's algorithms a measurement chooses, and that the next process takes the same one. Times are the double's.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <lamella/version.hpp>
#include <nlohmann/json.hpp>

#include "core/backend.hpp"
#include "core/tuning_records.hpp"
#include "cuda/cuda_support.hpp"
#include "ops/engine.hpp"
#include "ops/tuner.hpp"

namespace lamella::test {
namespace {

using testing::HasSubstr;

std::atomic<int> g_kernels = 0;
double now() { return fake_cuda::product_seconds() + 1e-3 * g_kernels; }

class CudaTuningTest : public CudaTest {
 protected:
  CudaTuningTest() { std::filesystem::remove(file_); }
  ~CudaTuningTest() override { std::filesystem::remove(file_); }

  /// In a world whose products take this long, by the place of their algorithm; a kernel takes a millisecond.
  void restart(std::vector<double> seconds, int wrong = -1, int failing = -1) {
    restart_cuda({.product_seconds = std::move(seconds), .wrong_algorithm = wrong, .failing_algorithm = failing});
    fake_cuda::on_call([](std::string_view name) { g_kernels += name == "kernel" ? 1 : 0; });
  }
  /// The choice for a layer, as in a new process, and the time that one execution takes.
  ops::Choice choose(Tuning tuning, ActivationKind kind = ActivationKind::Relu) {
    ops::Tuner tuner(file_.string(), now);
    ops::PlanContext context;
    context.tuning = tuning;
    context.tuner = &tuner;
    const ops::DenseDesc desc{
        .batch = 40, .inputs = 32, .units = 64, .has_bias = true, .activation = ActivationSpec{.kind = kind}};
    SpecBuilder random;
    const auto constants = std::make_shared<const ops::Constants>(
        std::vector<std::shared_ptr<const Tensor>>{random.random({32, 64}), random.random({64})});
    auto& backend = core::cuda_backend();
    ops::Choice choice = backend.ops().plan(desc, constants, context, "");
    const auto src = backend.allocate(0, 40 * 32 * sizeof(float));
    backend.fill(0, src.get(), 0, 40 * 32 * sizeof(float));
    const auto dst = backend.allocate(0, 40 * 64 * sizeof(float));
    const auto workspace = backend.allocate(0, std::max<std::size_t>(choice.plan->workspace_bytes(), 1));
    const auto stream = backend.create_stream(0);
    const void* const from = src.get();
    const double before = now();
    choice.plan->execute({std::span(&from, 1), dst.get(), workspace.get(), stream.get(), nullptr});
    stream->synchronize();
    seconds_ = now() - before;
    return choice;
  }
  /// In the file of records, which then get their checksums anew.
  void replace(const std::string& from, const std::string& to) {
    std::stringstream text;
    text << std::ifstream(file_).rdbuf();
    std::string all = text.str();
    const auto at = all.find(from);
    ASSERT_NE(at, std::string::npos) << all;
    const auto changed = nlohmann::json::parse(all.replace(at, from.size(), to));
    std::filesystem::remove(file_);
    core::TuningRecords records(file_);
    for (const auto& one : changed.at("records")) {
      core::TuningRecord record{one.at("machine"), one.at("work"), one.at("engine"), {}};
      for (const auto& [engine, time] : one.at("microseconds").items()) record.microseconds.emplace_back(engine, time);
      records.add(std::move(record));
    }
  }

  std::filesystem::path file_ =
      std::filesystem::temp_directory_path() / ("lamella_cuda_tuning_" + std::to_string(::getpid()) + ".json");
  double seconds_ = 0;
};

TEST_F(CudaTuningTest, TheFastestOfTheAlgorithmsIsTakenAndByTheNextProcessToo) {
  for (const int fastest : {0, 1, 2}) {
    std::filesystem::remove(file_);
    std::vector<double> seconds{3e-4, 3e-4, 3e-4};
    seconds[static_cast<std::size_t>(fastest)] = 1e-4;
    restart(seconds);
    const std::string algorithm = fastest == 0 ? "measured" : "measured, algorithm " + std::to_string(fastest);
    {
      const ops::Choice measured = choose(Tuning::measure);
      EXPECT_EQ(measured.engine, "cublaslt_epilogue");
      EXPECT_EQ(measured.measured, "100 us, " + algorithm);
      EXPECT_NEAR(seconds_, 1e-4, 1e-9);
    }
    restart(seconds);
    const ops::Choice cached = choose(Tuning::cached);
    EXPECT_EQ(cached.engine, "cublaslt_epilogue");
    EXPECT_THAT(cached.measured, HasSubstr("measured before"));
    EXPECT_NEAR(seconds_, 1e-4, 1e-9);
  }
}

TEST_F(CudaTuningTest, AnAlgorithmThatFailsWhenItIsCalledIsNotTaken) {
  restart({3e-4, 1e-4, 2e-4}, -1, 1);
  EXPECT_EQ(choose(Tuning::measure).measured, "200 us, measured, algorithm 2");
  EXPECT_NEAR(seconds_, 2e-4, 1e-9);
}

/// A product is made in chunks of rows; what is left over is a product of its own, for which fewer algorithms may be offered.
TEST_F(CudaTuningTest, AnAlgorithmMustBeOfferedForTheLastRowsToo) {
  constexpr std::int64_t kUnits = 65536;  // chunks of 128 rows
  restart_cuda({.most_for_few_rows = 1});
  SpecBuilder random;
  const auto constants = std::make_shared<const ops::Constants>(
      std::vector<std::shared_ptr<const Tensor>>{random.random({4, kUnits}), random.random({kUnits})});
  ops::PlanContext context;
  context.algorithm = 1;
  for (const std::int64_t batch : {256, 257}) {
    const ops::DenseDesc desc{
        .batch = batch, .inputs = 4, .units = kUnits, .has_bias = true, .activation = {.kind = ActivationKind::Tanh}};
    const auto plan = [&] { return core::cuda_backend().ops().plan(desc, constants, context, "gemm_then_epilogue"); };
    if (batch % 128 == 0) {
      EXPECT_EQ(plan().engine, "gemm_then_epilogue");
    } else {
      try {
        static_cast<void>(plan());
        FAIL() << "it has no second algorithm for one row";
      } catch (const ArgumentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("cuBLASLt offers 1 algorithms for this product"));
      }
    }
  }
}

TEST_F(CudaTuningTest, ByRuleItIsTheFirst) {
  restart({3e-4, 2e-4, 1e-4});
  EXPECT_EQ(choose(Tuning::off).measured, "");
  EXPECT_NEAR(seconds_, 3e-4, 1e-9);
  EXPECT_EQ(choose(Tuning::cached).measured, "");  // there is no record
  EXPECT_NEAR(seconds_, 3e-4, 1e-9);
}

TEST_F(CudaTuningTest, TheProductBeforeAPassOfOursHasItsAlgorithmsToo) {
  restart({3e-3, 2e-3, 1e-3});
  g_kernels = 0;
  const ops::Choice choice = choose(Tuning::measure, ActivationKind::Silu);
  EXPECT_TRUE(choice.engine != "gemm_then_epilogue" || seconds_ < 2.1e-3) << choice.engine << seconds_;
  std::stringstream text;
  text << std::ifstream(file_).rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("\"gemm_then_epilogue, algorithm 2\": 2000"));
}

TEST_F(CudaTuningTest, AnAlgorithmWithWrongResultsIsNotTaken) {
  restart({3e-4, 2e-4, 1e-4}, 2);
  EXPECT_EQ(choose(Tuning::measure).measured, "200 us, measured, algorithm 1");
  EXPECT_NEAR(seconds_, 2e-4, 1e-9);
}

TEST_F(CudaTuningTest, ARecordOfAnAlgorithmThatIsNotOfferedOrOfAnotherLibraryIsNotUsed) {
  restart({3e-4, 2e-4, 1e-4});
  static_cast<void>(choose(Tuning::measure));
  replace("\"engine\": \"cublaslt_epilogue, algorithm 2\"", "\"engine\": \"cublaslt_epilogue, algorithm 3\"");
  EXPECT_EQ(choose(Tuning::cached).measured, "");
  EXPECT_NEAR(seconds_, 3e-4, 1e-9);
  replace("\"engine\": \"cublaslt_epilogue, algorithm 3\"", "\"engine\": \"cublaslt_epilogue, algorithm 1\"");
  EXPECT_THAT(choose(Tuning::cached).measured, HasSubstr("algorithm 1"));
  EXPECT_NEAR(seconds_, 2e-4, 1e-9);
  replace("cuBLASLt ", "cuBLASLt 1");
  EXPECT_EQ(choose(Tuning::cached).measured, "");
  EXPECT_NEAR(seconds_, 3e-4, 1e-9);
}

TEST_F(CudaTuningTest, WithARecordNoOtherAlgorithmIsAskedFor) {
  restart({3e-4, 2e-4, 1e-4});
  static_cast<void>(choose(Tuning::measure));
  restart({3e-4, 2e-4, 1e-4});
  static_cast<void>(choose(Tuning::cached));
  const auto asked = fake_cuda::count_calls("cublasLtMatmulAlgoGetHeuristic");
  EXPECT_GT(asked, 0U);
  EXPECT_LE(asked, 10U);  // two for each product: that of a pass of ours and of three, and two algorithms of the epilogue
}

}  // namespace
}  // namespace lamella::test
