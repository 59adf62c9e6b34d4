// SPDX-License-Identifier: Apache-2.0
// Few rows through several layers by one cluster of blocks: which layers and rows take it, and that nothing else changes.
#include <cuda_runtime_api.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cuda/cuda_support.hpp"
#include "kernels/kernels.hpp"
#include "kernels/stack_cluster.hpp"
#include "tests/ptx/registry.hpp"

namespace lamella::test {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::shared_ptr<const core::ModelSpec> chain(const std::vector<std::int64_t>& widths, unsigned seed = 1) {
  SpecBuilder builder(seed);
  auto x = builder.input({widths[0]});
  for (std::size_t n = 1; n < widths.size(); ++n) {
    const bool last = n + 1 == widths.size();
    x = builder.dense(x, widths[n - 1], widths[n], activation_of(last ? "linear" : "tanh"));
  }
  return builder.build({x});
}

std::vector<std::string> engines_of(const Model& model, std::int64_t batch) {
  std::vector<std::string> result;
  const auto explained = nlohmann::json::parse(model.explain({.batch = batch, .json = true}));
  for (const auto& step : explained.at("steps")) result.push_back(step.at("engine"));
  return result;
}

void expect_close(const Tensor& y, const Tensor& wanted) {
  const auto found = values_of(y);
  const auto right = values_of(wanted);
  ASSERT_EQ(found.size(), right.size());
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], right[i], 2e-5 * std::max(1.0F, std::fabs(right[i]))) << i;
}

class CudaClusterTest : public CudaTest {
 protected:
  void SetUp() override {
    int architecture = 0;
    ASSERT_EQ(kernels::has_image(architecture), cudaSuccess);
    if (architecture < kernels::kClusterArchitecture) GTEST_SKIP() << "the kernels trap below compute capability 9.0";
  }
  static Model on_host(const std::shared_ptr<const core::ModelSpec>& spec) {
    Options options;
    options.device = Device::cpu();
    return model_of(spec, options);
  }
};

TEST_F(CudaClusterTest, FourLayersOf256AreOneKernel) {
  const auto spec = chain({256, 256, 256, 256, 256});
  const Model model = model_of(spec, on_cuda());
  EXPECT_THAT(engines_of(model, 1), ElementsAre("cluster"));
  EXPECT_THAT(model.explain({.batch = 1}), HasSubstr("dense 256 -> 256 tanh -> 256 tanh -> 256 tanh -> 256"));
  EXPECT_THAT(engines_of(model, 64), testing::AllOf(testing::SizeIs(4), Not(Contains("cluster"))));
  const Model reference = on_host(spec);
  const Tensor x = random_rows(1, 256);
  fake_cuda::clear_call_log();
  for (int i = 0; i < 3; ++i) expect_close(model.predict(x), reference.predict(x));  // the third call is a replay
  EXPECT_EQ(fake_cuda::count_calls("kernel"), 2U);                                   // one run and one capture
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 2U);
  const Tensor more = random_rows(20, 256);
  expect_close(model.predict(more), reference.predict(more));
}

TEST_F(CudaClusterTest, OnlyWhereItIsPredictedToBeFastest) {
  EXPECT_THAT(engines_of(model_of(chain({1024, 1024, 1024, 1024}), on_cuda()), 1), Each(Not("cluster")));
  EXPECT_THAT(engines_of(model_of(chain({256, 256}), on_cuda()), 1), Each(Not("cluster")));
  EXPECT_THAT(engines_of(model_of(chain({64, 64, 64}), on_cuda()), 1), ElementsAre("stack"));
  EXPECT_THAT(engines_of(model_of(chain({2000, 256, 256, 256, 256}), on_cuda()), 1), ElementsAre("small_batch", "cluster"));
  Options options = on_cuda();
  options.engine = "cluster";
  const auto wide = chain({700, 1024, 33});
  const Model forced = model_of(wide, options);
  EXPECT_THAT(engines_of(forced, 1), ElementsAre("cluster"));
  EXPECT_THAT(engines_of(forced, 9), testing::SizeIs(2));
  const Tensor x = random_rows(5, 700);
  expect_close(forced.predict(x), on_host(wide).predict(x));
}

/// A part of a GPU (MIG) or a small one may have too few multiprocessors.
TEST_F(CudaClusterTest, NotWhereTheDeviceIsTooSmallForOne) {
  restart_cuda({.clusters = 0});
  const auto spec = chain({256, 256, 256, 256, 256});
  const Model model = model_of(spec, on_cuda());
  EXPECT_THAT(engines_of(model, 1), testing::AllOf(testing::SizeIs(4), Not(Contains("cluster"))));
  const Tensor x = random_rows(1, 256);
  for (int i = 0; i < 3; ++i) expect_close(model.predict(x), on_host(spec).predict(x));
  Options options = on_cuda();
  options.engine = "cluster";
  EXPECT_THAT(engines_of(model_of(spec, options), 1), Each(Not("cluster")));
}

TEST_F(CudaClusterTest, TheDeviceIsAskedOnceForEachNumberOfRows) {
  const Model model = model_of(chain({256, 256, 256, 256, 256}), on_cuda());
  fake_cuda::clear_call_log();
  for (int i = 0; i < 2; ++i) {
    for (const std::int64_t rows : {1, 8}) EXPECT_THAT(engines_of(model, rows), Contains("cluster"));
  }
  EXPECT_LE(fake_cuda::count_calls("cudaOccupancyMaxActiveClusters"), 2U);
}

TEST_F(CudaClusterTest, ResidualsAndASoftmaxAreInside) {
  SpecBuilder builder(7);
  auto x = builder.dense(builder.input({20}), 20, 300, activation_of("relu"));
  for (int block = 0; block < 2; ++block) {
    const auto y = builder.dense(builder.dense(x, 300, 150, activation_of("silu")), 150, 300);
    x = builder.add("Add", core::MergeParams{core::CombineKind::add}, {x, y}, {});
    x = builder.activation(x, activation_of("tanh"));
  }
  const auto spec = builder.build({builder.activation(builder.dense(x, 300, 130), activation_of("softmax"))});
  const Model model = model_of(spec, on_cuda());
  EXPECT_THAT(engines_of(model, 2), ElementsAre("cluster"));
  const Model reference = on_host(spec);
  for (const std::int64_t rows : {1, 3, 8}) {
    const Tensor input = random_rows(rows, 20);
    for (int i = 0; i < 3; ++i) expect_close(model.predict(input), reference.predict(input));
  }
}

TEST_F(CudaClusterTest, ASampleHasTheSameBitsInEveryBatchThatItTakes) {
  Options options = on_cuda();
  options.engine = "cluster";
  const Model model = model_of(chain({30, 300, 200, 256, 7}), options);
  const Tensor x = random_rows(8, 30);
  const auto all = values_of(model.predict(x));
  for (const std::int64_t rows : {1, 2, 3, 5, 8}) {
    EXPECT_THAT(engines_of(model, rows), ElementsAre("cluster"));
    Tensor part({rows, 30});
    std::copy_n(x.span<float>().begin(), rows * 30, part.span<float>().begin());
    const auto some = values_of(model.predict(part));
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << rows;
  }
}

TEST_F(CudaClusterTest, AnotherActivationReusesTheWeights) {
  const Model model = model_of(chain({256, 256, 256, 256, 256}), on_cuda());
  const Tensor x = random_rows(2, 256);
  const auto before = values_of(model.predict(x));
  const int allocations = fake_cuda::live().device_allocations;
  const Model changed = model.with_activation("Dense_2", "relu");
  EXPECT_THAT(engines_of(changed, 2), ElementsAre("cluster"));
  EXPECT_EQ(fake_cuda::live().device_allocations, allocations);
  EXPECT_NE(values_of(changed.predict(x)), before);
  EXPECT_EQ(values_of(model.predict(x)), before);
}

/// Programs of one row and of twenty have their weights in different orders.
TEST_F(CudaClusterTest, UpdatedWeightsReachIt) {
  Options options = on_cuda();
  options.updatable = true;
  const auto before = chain({256, 256, 256, 256, 256}, 1);
  const auto after = chain({256, 256, 256, 256, 256}, 2);
  Model model = model_of(before, options);
  const Tensor one = random_rows(1, 256);
  const Tensor many = random_rows(20, 256);
  for (int i = 0; i < 3; ++i) {
    expect_close(model.predict(one), on_host(before).predict(one));
    expect_close(model.predict(many), on_host(before).predict(many));
  }
  std::map<std::string, TensorView> values;
  for (const auto& layer : after->layers) {
    for (const auto& weight : layer->weights) values.emplace(layer->path + "/" + weight.name, *weight.value);
  }
  model.update_weights(values);
  EXPECT_THAT(engines_of(model, 1), ElementsAre("cluster"));
  const Tensor two = random_rows(2, 256);
  for (int i = 0; i < 3; ++i) {
    expect_close(model.predict(one), on_host(after).predict(one));
    expect_close(model.predict(two), on_host(after).predict(two));  // planned now
    expect_close(model.predict(many), on_host(after).predict(many));
  }
}

TEST_F(CudaClusterTest, RefusesWithASentence) {
  const auto why = [](const Options& options, std::int64_t batch) {
    const Model model = model_of(chain({64, 64, 64}), options);
    const auto explained = nlohmann::json::parse(model.explain({.batch = batch, .json = true}));
    for (const auto& step : explained.at("steps")) {
      for (const auto& refusal : step.at("refused")) {
        if (refusal.at("engine") == "cluster") return refusal.at("why").get<std::string>();
      }
    }
    return std::string();
  };
  EXPECT_EQ(why(on_cuda(), 16), "it takes at most 8 rows, got 16");
  Options invariant = on_cuda();
  invariant.determinism = Determinism::batch_invariant;
  EXPECT_THAT(why(invariant, 1), HasSubstr("must not depend on the batch size"));
  Options narrow = on_cuda();
  narrow.dtype = DType::float16;
  EXPECT_EQ(why(narrow, 1), "it computes in float32, the layers in float16");
  EXPECT_THAT(why(on_cuda(), 1), HasSubstr("predicted"));
  restart_cuda({.compute_capability = 89});
  EXPECT_EQ(why(on_cuda(), 1), "it needs code for compute capability 9.0 or later; this device's code was compiled for 8.9");
  EXPECT_THAT(engines_of(model_of(chain({256, 256, 256, 256, 256}), on_cuda()), 1), testing::SizeIs(4));
}

/// A barrier of the cluster left out is found, not only where numbers change.
TEST_F(CudaClusterTest, AMissingBarrierOfTheClusterIsFound) {
  ptx::registry::edit_statements("barrier.cluster.wait.acquire", [](const std::string&) { return ""; });
  {
    Options options = on_cuda();
    options.graphs = false;
    const Model model = model_of(chain({256, 256, 256, 256, 256}), options);
    EXPECT_ANY_THROW(static_cast<void>(model.predict(random_rows(1, 256))));
  }
  ptx::registry::edit(nullptr);
  EXPECT_THAT(fake_cuda::take_misuses(), Contains(HasSubstr("cluster")));
  restart_cuda();
}

}  // namespace
}  // namespace lamella::test
