// SPDX-License-Identifier: Apache-2.0
// Whether layers run in one launch or one by one where that is measured. Times are made up: so long for each kernel and product.
#include <filesystem>
#include <string>
#include <vector>

#include "core/access.hpp"
#include "cuda/cuda_stack_support.hpp"
#include "cuda/cuda_support.hpp"
#include "ops/tuner.hpp"

namespace lamella::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

double g_now = 0;  // seconds
int g_kernels = 0;
int g_stacks = 0;

/// Sizes that `stack` takes.
std::shared_ptr<const core::ModelSpec> chain(const std::vector<std::int64_t>& widths = {6, 20, 17, 5}) {
  SpecBuilder builder(3);
  auto x = builder.input({widths[0]});
  for (std::size_t n = 1; n < widths.size(); ++n) x = builder.dense(x, widths[n - 1], widths[n], activation_of("relu"));
  return builder.build({x});
}

class CudaStackTuningTest : public CudaTest {
 protected:
  CudaStackTuningTest() { std::filesystem::remove(file_); }
  ~CudaStackTuningTest() override { std::filesystem::remove(file_); }

  /// In a world where a launch of `stack` takes this long, in milliseconds, and every other kernel or product.
  void restart(double stack, double other) {
    tuners_.clear();
    restart_cuda({.on_work = [stack, other](std::string_view name) {
      if (name.find("kernel") == std::string_view::npos && name != "cublasLtMatmul") return;
      const bool is_stack = name.find("stack") != std::string_view::npos;
      g_now += (is_stack ? stack : other) * 1e-3;
      ++(is_stack ? g_stacks : g_kernels);
    }});
  }
  /// As in a new process.
  Model model(Tuning tuning, Options options = on_cuda(), const std::vector<std::int64_t>& widths = {6, 20, 17, 5}) {
    options.tuning = tuning;
    Model made = model_of(chain(widths), options);
    core::Access::set_tuner(made, *tuners_.emplace_back(std::make_unique<ops::Tuner>(file_.string(), [] { return g_now; })));
    g_kernels = g_stacks = 0;
    return made;
  }
  static void expect_right(const Model& model, std::int64_t rows) {
    Options options;
    options.device = Device::cpu();
    const Tensor x = random_rows(rows, 6);
    for (int i = 0; i < 3; ++i) expect_near(values_of(model.predict(x)), values_of(model_of(chain(), options).predict(x)));
  }

 private:
  std::filesystem::path file_ =
      std::filesystem::temp_directory_path() / ("lamella_stack_tuning_" + std::to_string(::getpid()) + ".json");
  std::vector<std::unique_ptr<ops::Tuner>> tuners_;
};

TEST_F(CudaStackTuningTest, AStackThatTakesLongerIsLeftAndByTheNextProcessToo) {
  restart(100, 10);
  EXPECT_THAT(plan_of(model(Tuning::off), 24).engines, ElementsAre("stack"));
  EXPECT_THAT(plan_of(model(Tuning::cached), 24).engines, ElementsAre("stack")) << "nothing is known";
  EXPECT_EQ(g_stacks + g_kernels, 0);
  {
    const Model measured = model(Tuning::measure);
    EXPECT_THAT(plan_of(measured, 24).engines, AllOf(SizeIs(3), Each(Not("stack"))));
    EXPECT_THAT(measured.explain({.batch = 24}),
                HasSubstr("one by one: 3e+04 us for 3 layers, measured; stack, by rule, 1e+05 us"));
    expect_right(measured, 24);
  }
  restart(100, 10);
  const Model cached = model(Tuning::cached);
  EXPECT_THAT(plan_of(cached, 24).engines, AllOf(SizeIs(3), Each(Not("stack"))));
  EXPECT_EQ(g_stacks, 0);
  EXPECT_THAT(cached.explain({.batch = 24}), HasSubstr("us for 3 layers, measured before; "));
  expect_right(cached, 24);
  EXPECT_EQ(g_stacks, 0);
  EXPECT_THAT(plan_of(cached, 40).engines, ElementsAre("stack")) << "nothing is known of other batches";
}

TEST_F(CudaStackTuningTest, AStackThatTakesLessIsTakenAndSaysWhatItSaves) {
  restart(10, 10);
  {
    const Model measured = model(Tuning::measure);
    EXPECT_THAT(plan_of(measured, 24).engines, ElementsAre("stack"));
    EXPECT_THAT(measured.explain({.batch = 24}),
                AllOf(HasSubstr("engine stack (1e+04 us, measured)"), HasSubstr("not one by one: 3e+04 us")));
    expect_right(measured, 24);
  }
  restart(10, 10);
  const Model cached = model(Tuning::cached);
  EXPECT_THAT(plan_of(cached, 24).engines, ElementsAre("stack"));
  EXPECT_THAT(cached.explain({.batch = 24}), HasSubstr("engine stack (1e+04 us, measured before)"));
  EXPECT_EQ(g_stacks + g_kernels, 0);
}

TEST_F(CudaStackTuningTest, TheLengthIsMeasuredToo) {
  restart(25, 10);  // for two layers too long, for three not
  EXPECT_THAT(plan_of(model(Tuning::measure), 24).engines, ElementsAre("stack"));
}

TEST_F(CudaStackTuningTest, WhereTheRuleLeavesLayersAloneTheyMayBeMeasuredTogether) {
  Options options = on_cuda();
  options.math = Math::bf16x6;
  const std::vector<std::int64_t> widths{128, 128, 128};
  restart(10, 20);
  ASSERT_THAT(plan_of(model(Tuning::off, options, widths), 2).engines, SizeIs(2));
  const Model measured = model(Tuning::measure, options, widths);
  EXPECT_THAT(plan_of(measured, 2).engines, SizeIs(1));
  EXPECT_THAT(measured.explain({.batch = 2}), HasSubstr("(1e+04 us, measured), fused: all layers"));
  EXPECT_THAT(plan_of(model(Tuning::cached, options, widths), 2).engines, SizeIs(1));
}

TEST_F(CudaStackTuningTest, ForcedEnginesAndBitsThatDoNotDependOnTheBatchAreNotMeasured) {
  restart(100, 10);
  Options options = on_cuda();
  options.engine = "stack";
  EXPECT_THAT(plan_of(model(Tuning::measure, options), 24).engines, ElementsAre("stack"));
  options = on_cuda();
  options.determinism = Determinism::batch_invariant;
  EXPECT_THAT(plan_of(model(Tuning::measure, options), 24).engines, ElementsAre("stack"));
  options = on_cuda();
  options.updatable = true;
  EXPECT_THAT(plan_of(model(Tuning::measure, options), 24).engines, ElementsAre("stack"));
  EXPECT_EQ(g_stacks + g_kernels, 0);
}

TEST_F(CudaStackTuningTest, MeasuresReplaysWherePredictReplays) {
  restart(10, 10);
  fake_cuda::clear_call_log();
  static_cast<void>(plan_of(model(Tuning::measure), 24));
  EXPECT_GT(fake_cuda::count_calls("cudaGraphLaunch"), 4U);
  Options options = on_cuda();
  options.graphs = false;
  fake_cuda::clear_call_log();
  static_cast<void>(plan_of(model(Tuning::measure, options), 24));
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 0U);
  EXPECT_GT(g_stacks, 0) << "the time of replays says nothing of launches one by one";
}

}  // namespace
}  // namespace lamella::test
