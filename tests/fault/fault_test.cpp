// SPDX-License-Identifier: Apache-2.0
// Each allocation and each system call of a scenario fails in turn, alone or with all later ones: nothing leaks, nothing crashes,
// every failure is one of lamella's errors, and the same objects then work as if nothing had happened.
#include "effort.hpp"
#include "fault/faults.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <lamella/lamella.hpp>
#include <map>
#include <new>
#include <vector>

#include "cpu/dense/engines.hpp"
#include "keras/load.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

constexpr std::size_t kMostCalls = 200'000;

std::string fixture(const char* name) { return std::string(LAMELLA_FIXTURES) + "/" + name; }

Options one_thread() { return {.device = Device::cpu(), .threads = 1}; }

Tensor input_of(const Model& model, std::int64_t rows) {
  std::vector<std::int64_t> extents = model.input_shape();
  extents.insert(extents.begin(), rows);
  Tensor x{Shape(extents)};
  float value = -1.5F;
  for (float& element : x.span<float>()) element = value = value > 1.5F ? -1.5F : value + 0.25F;
  return x;
}

std::vector<std::byte> bits(const Tensor& tensor) {
  const auto* begin = static_cast<const std::byte*>(tensor.data());
  return {begin, begin + tensor.bytes()};
}

std::vector<std::byte> answer(const Model& model, std::int64_t rows) { return bits(model.predict(input_of(model, rows))); }

/// An action during which calls fail.
struct Scenario {
  std::function<void()> action;                              ///< may throw; can be repeated
  std::function<std::vector<std::byte>()> result = nullptr;  ///< a result that must not depend on earlier failures
  bool grows = false;  ///< the action may leave more or less in caches, so leaks are not checked
};

/// Whether a run failed: with one of lamella's errors or std::bad_alloc. Anything else fails the test.
bool fails_cleanly(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    fault::disarm();
    EXPECT_NE(error.code(), ErrorCode::internal) << error.what();
    EXPECT_NE(error.code(), ErrorCode::out_of_memory) << "host memory that runs out is std::bad_alloc: " << error.what();
    return true;
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

/// Makes call 1, 2, 3, ... of the scenario fail until it has no such call. Returns the number of injected faults.
std::size_t loop(const Scenario& scenario, bool forever) {
  scenario.action();  // makes what the process makes only once
  const std::vector<std::byte> wanted = scenario.result ? scenario.result() : std::vector<std::byte>{};
  std::size_t total = 0;
  for (std::size_t n = test::first_fault(); n < kMostCalls && !::testing::Test::HasFailure(); n += test::kOneFaultOf) {
    const std::size_t files = fault::open_files();
    const std::size_t blocks = fault::live_blocks();
    fault::arm(n, forever);
    const bool failed = fails_cleanly(scenario.action);
    const std::size_t injected = fault::disarm();
    total += injected;
    EXPECT_TRUE(!failed || injected > 0) << "failed without an injected fault at call " << n;
    EXPECT_EQ(fault::open_files(), files) << "a descriptor leaks after a fault in call " << n;
    if (scenario.result) {
      EXPECT_EQ(scenario.result(), wanted) << "after a fault in call " << n;
    }
    if (!scenario.grows) {
      EXPECT_EQ(fault::live_blocks(), blocks) << "memory leaks after a fault in call " << n;
    }
    if (injected == 0) break;
  }
  scenario.action();
  return total;
}

void run(const Scenario& scenario) {
  const std::size_t once = loop(scenario, false);
  const std::size_t for_ever = loop(scenario, true);
  EXPECT_GT(once, 0U);
  EXPECT_GT(for_ever, 0U);
  ::testing::Test::RecordProperty("faults", static_cast<int>(once + for_ever));
  std::printf("    %zu faults once, %zu from then on\n", once, for_ever);
}

class LoadUnderFaults : public ::testing::TestWithParam<const char*> {};

TEST_P(LoadUnderFaults, LeaksNothingAndLeavesNothingHalfBuilt) {
  const std::string path = fixture(GetParam());
  run({[&] { static_cast<void>(Model::load(path, one_thread())); }});
}

INSTANTIATE_TEST_SUITE_P(
    Formats, LoadUnderFaults,
    ::testing::Values("keras3/dense/model.keras", "keras3/functional/model.keras", "keras3/graph/model.keras",
                      "keras3/concatenate_dense/model.keras", "keras3/dense_batch_normalization/model.keras",
                      "keras3/functional_in_functional/model.keras", "keras3/folder/model", "keras3/h5_prelu/model.h5",
                      "keras3/h5_functional/model.h5", "keras3/h5_nested_deeply/model.h5", "keras3/h5_policy_per_layer/model.h5",
                      "operations/keras3/broadcast/model.keras", "operations/keras2/h5_operators_with_arrays/model.h5",
                      "operations/keras2/h5_slices/model.h5", "calls/keras3/dict_in_dict/model.keras",
                      "keras3-lookups/discretization/model.keras", "quantized/3.15.1/gptq_2bit_h5/model.h5"),
    [](const auto& item) {
      std::string name = item.param;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

TEST(Faults, InPredictLeaveTheModelUnchanged) {
  const Model model = Model::load(fixture("keras3/dense_chain/model.keras"), one_thread());
  const Tensor x = input_of(model, 5);
  run({[&] { static_cast<void>(model.predict(x)); }, [&] { return answer(model, 5); }});
}

class EngineUnderFaults : public ::testing::TestWithParam<const cpu::DenseEngine*> {};

/// Loads a model and predicts twice.
TEST_P(EngineUnderFaults, LeavesNothingBehind) {
  Options options = one_thread();
  options.engine = GetParam()->name();
  const auto loaded = keras::load_model(fixture("keras3/dense/model.keras"), options.hard_sigmoid);
  const Tensor x = input_of(core::Access::model(loaded, one_thread()), 9);
  auto spec = model::with_activation(*loaded, "dense", "tanh");
  try {
    static_cast<void>(core::Access::model(spec, options).predict(x));
  } catch (const ArgumentError&) {  // the engine has no such activation
    spec = model::with_activation(*loaded, "dense", "linear");
  }
  run({[&] {
    const Model model = core::Access::model(spec, options);
    static_cast<void>(model.predict(x));
    static_cast<void>(model.predict(x));
  }});
}

INSTANTIATE_TEST_SUITE_P(Cpu, EngineUnderFaults, ::testing::ValuesIn(cpu::dense_engines().begin(), cpu::dense_engines().end()),
                         [](const auto& item) { return std::string(item.param->name()); });

TEST(Faults, InsideOneDnnArePreventedByRequestingMoreMemoryThanItNeeds) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "mmap() is not intercepted here";
#endif
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const std::int64_t units : {1, 16, 33, 300}) {
      const Sequential net({Layer(Input({units + 7})), Dense(units, {.activation = "relu"}), Dense(7, {.activation = "gelu"})});
      for (const char* engine : {"onednn_epilogue", "unfused"}) {
        const Model model = net.compile({.device = Device::cpu(), .dtype = dtype, .engine = engine, .threads = 1});
        for (const std::int64_t rows : {1, 5, 64, 1000}) static_cast<void>(answer(model, rows));
      }
    }
  }
  EXPECT_GT(fault::most_bytes_of_onednn(), std::size_t{100'000}) << "oneDNN's calls were not seen";
  EXPECT_LT(fault::most_bytes_of_onednn(), std::size_t{16} << 20U) << "half of what it is asked for";
}

TEST(Faults, InANewBatchSizeLeaveTheModelUnchanged) {
  const std::string path = fixture("keras3/dense_chain/model.keras");
  const Model model = Model::load(path, one_thread());
  std::int64_t rows = 0;
  run({[&] {
         rows = rows % 100 + 1;
         static_cast<void>(model.predict(input_of(model, rows)));
       },
       [&] { return answer(model, 3); }, true});
}

TEST(Faults, ThreadsThatCannotBeMadeCostOnlyTime) {
  const Sequential net({Layer(Input({64})), Dense(64, {.activation = "tanh"}), Dense(33)});
  const Model model = net.compile({.device = Device::cpu(), .threads = 7});
  fault::refuse_threads(true);
  const std::vector<std::byte> alone = answer(model, 3000);
  EXPECT_GT(fault::refused_threads(), 0U) << "nobody asked for a thread";
  fault::refuse_threads(false);
  EXPECT_EQ(answer(model, 3000), alone);
}

TEST(Faults, InPredictOnSeveralThreadsLeaveTheModelUnchanged) {
  const Model model =
      Sequential({Layer(Input({64})), Dense(64, {.activation = "tanh"})}).compile({.device = Device::cpu(), .threads = 3});
  const Tensor x = input_of(model, 200);
  run({[&] { static_cast<void>(model.predict(x)); }, [&] { return answer(model, 200); }, true});
}

TEST(Faults, InSetActivationLeaveTheModelUnchanged) {
  Model model = Model::load(fixture("keras3/dense/model.keras"), one_thread());
  run({[&] {
         Model copy = model;
         copy.set_activation("dense", "tanh");
         static_cast<void>(answer(copy, 2));
       },
       [&] { return answer(model, 2); }, true});  // the pool of constants drops unused entries only when the next graph is made
}

TEST(Faults, InSetActivationInPlaceDoAllOrNothing) {
  Model model = Model::load(fixture("keras3/dense/model.keras"), one_thread());
  const std::vector<std::byte> before = answer(model, 2);
  const std::vector<std::byte> after = answer(model.with_activation("dense", "tanh"), 2);
  std::size_t total = 0;
  for (std::size_t n = 1; n < kMostCalls; ++n) {
    Model target = model;
    fault::arm(n, false);
    const bool failed = fails_cleanly([&] { target.set_activation("dense", "tanh"); });
    const std::size_t injected = fault::disarm();
    total += injected;
    const std::vector<std::byte> found = answer(target, 2);
    ASSERT_EQ(found, failed ? before : after) << "call " << n;
    if (injected == 0) break;
  }
  EXPECT_GT(total, 10U);
}

TEST(Faults, InWithWeightsLeaveTheModelUnchanged) {
  const std::string path = fixture("keras3/dense/model.keras");
  const Model model = Model::load(path, one_thread());
  run({[&] { static_cast<void>(model.with_weights(path)); }, [&] { return answer(model, 2); }});
}

/// With a layer that is folded, and after predictions at two batch sizes.
TEST(Faults, InReadingWeightsOfOtherProgramsLeaveTheModelUnchanged) {
  Sequential layers({Dense(6, {.activation = "tanh", .name = "a"}), Dense(2, {.name = "b"})});
  layers.build({4});
  const Model model = layers.compile(one_thread());
  for (const char* name : {"compressed.npz", "torch.safetensors"}) {
    const std::string path = std::string(LAMELLA_SOURCE_DIR "/tests/keras/data/weights/") + name;
    run({[&] { static_cast<void>(load_weights(model, path)); }});
    // The pool of constants drops unused entries only when the next graph is made.
    run({[&] { static_cast<void>(model.with_weights(path)); }, [&] { return answer(model, 2); }, true});
  }
}

TEST(Faults, InUpdateWeightsChangeAllOrNothing) {
  const std::string path = fixture("keras3/dense_batch_normalization/model.keras");
  Options options = one_thread();
  options.updatable = true;
  Model model = Model::load(path, options);
  std::map<std::string, Tensor> values;
  std::map<std::string, Tensor> others;
  for (const LayerInfo& layer : model.layers()) {
    for (const auto& [name, value] : layer.weights) {
      Tensor& other = others.emplace(layer.path + "/" + name, Tensor::copy_of(value)).first->second;
      for (float& v : other.span<float>()) v *= 1.5F;
      values.emplace(layer.path + "/" + name, Tensor::copy_of(value));
    }
  }
  const std::map<std::string, TensorView> old(values.begin(), values.end());
  const std::map<std::string, TensorView> now(others.begin(), others.end());
  const auto both = [&] {
    std::vector<std::byte> all = answer(model, 2);
    const std::vector<std::byte> more = answer(model, 70);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::vector<std::byte> before = both();
  model.update_weights(now);
  const std::vector<std::byte> after = both();
  ASSERT_NE(before, after);
  std::size_t total = 0;
  for (std::size_t n = test::first_fault(); n < kMostCalls; n += test::kOneFaultOf) {
    model.update_weights(old);
    const std::size_t blocks = fault::live_blocks();
    fault::arm(n, false);
    const bool failed = fails_cleanly([&] { model.update_weights(now); });
    const std::size_t injected = fault::disarm();
    total += injected;
    ASSERT_EQ(both(), failed ? before : after) << "call " << n;
    ASSERT_EQ(fault::live_blocks(), blocks) << "memory leaks after a fault in call " << n;
    if (injected == 0) break;
  }
  EXPECT_GT(total, 30U);
}

TEST(Faults, InSavingAModelLeaveTheOldFileOrTheNewOne) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("fault_save_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const Model model = Model::load(fixture("keras3/functional/model.keras"), one_thread());
  std::map<std::string, Tensor> doubled;
  for (const LayerInfo& layer : model.layers()) {
    for (const auto& [name, value] : layer.weights) {
      Tensor& to = doubled.emplace(layer.path + "/" + name, Tensor::copy_of(value)).first->second;
      for (float& v : to.span<float>()) v *= 2.0F;
    }
  }
  const Model other = model.with_weights(std::map<std::string, TensorView>(doubled.begin(), doubled.end()));
  for (const char* name : {"m.keras", "m.weights.h5"}) {
    const std::string path = (folder / name).string();
    const auto content = [&] { return answer(model.with_weights(path), 2); };
    other.save(path);
    const std::vector<std::byte> old_file = content();
    model.save(path);
    const std::vector<std::byte> new_file = content();
    ASSERT_NE(old_file, new_file);
    std::size_t total = 0;
    for (std::size_t n = test::first_fault(); n < kMostCalls; n += test::kOneFaultOf) {
      other.save(path);
      const std::size_t files = fault::open_files();
      const std::size_t blocks = fault::live_blocks();
      fault::arm(n, false);
      const bool failed = fails_cleanly([&] { model.save(path); });
      const std::size_t injected = fault::disarm();
      total += injected;
      ASSERT_EQ(content(), failed ? old_file : new_file) << name << ", call " << n;
      ASSERT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1)
          << "something was left beside it after call " << n;
      ASSERT_EQ(fault::open_files(), files) << n;
      ASSERT_EQ(fault::live_blocks(), blocks) << "memory leaks after a fault in call " << n;
      if (injected == 0) break;
    }
    EXPECT_GT(total, 30U) << name;
    std::filesystem::remove(path);
  }
  std::filesystem::remove_all(folder);
}

TEST(Faults, InExplainSummaryAndLayersLeaveTheModelUnchanged) {
  const Model model = Model::load(fixture("keras3/functional/model.keras"), one_thread());
  run({[&] {
         static_cast<void>(model.summary());
         static_cast<void>(model.explain({.batch = 4}));
         static_cast<void>(model.explain({.batch = 4, .json = true}));
         static_cast<void>(model.layers());
       },
       [&] { return bits(Tensor::zeros(Shape{1})); }});
}

TEST(Faults, InSavingAnArrayLeaveTheOldFileOrTheNewOne) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("fault_npy_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = (folder / "array.npy").string();
  const Tensor old_array = Tensor::zeros(Shape{3, 3});
  const std::vector<float> ones(100, 1.0F);
  const Tensor new_array = Tensor::of<float>(ones, Shape{100});
  std::size_t total = 0;
  for (std::size_t n = 1; n < kMostCalls; ++n) {
    save_npy(path, old_array);
    fault::arm(n, false);
    const bool failed = fails_cleanly([&] { save_npy(path, new_array); });
    const std::size_t injected = fault::disarm();
    total += injected;
    ASSERT_EQ(bits(load_npy(path)), bits(failed ? old_array : new_array)) << "call " << n;
    const auto files = std::distance(std::filesystem::directory_iterator(folder), {});
    ASSERT_EQ(files, 1) << "something was left beside it after call " << n;
    if (injected == 0) break;
  }
  EXPECT_GT(total, 5U);
  run({[&] { save_npy(path, new_array); }});
  run({[&] { static_cast<void>(load_npy(path)); }});
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lamella
