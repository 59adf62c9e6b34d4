// SPDX-License-Identifier: Apache-2.0
// The C interface while each allocation and each system call fails in turn, alone or with all later ones: every failure is an
// error object, nothing leaks, and the same model then answers as before. Every function that returns an error is called here
// (tests/repository/c_functions.sh).
#include "effort.hpp"
#include "fault/faults.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <lamella/lamella.h>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <lamella/npy.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kMostCalls = 200'000;
const std::string kModel = std::string(LAMELLA_FIXTURES) + "/keras3/dense/model.keras";

/// Checks and frees an error; returns whether there was one.
bool failed(lamella_error* error) {
  if (error == nullptr) return false;
  lamella::fault::disarm();
  EXPECT_STRNE(lamella_error_code(error), "E_INTERNAL") << lamella_error_message(error);
  EXPECT_THAT(lamella_error_message(error), testing::HasSubstr(lamella_error_code(error)));
  lamella_error_free(error);
  return true;
}

/// The same for a call that is refused with this code; returns whether memory ran out before that could be said.
bool failed_to_refuse(lamella_error* error, const char* code) {
  EXPECT_NE(error, nullptr) << "wanted: " << code;
  const std::string_view found = lamella_error_code(error);
  EXPECT_TRUE(found == code || found == "E_OUT_OF_MEMORY") << lamella_error_message(error);
  const bool bad = found != code;
  failed(error);
  return bad;
}

struct Freed {
  void operator()(lamella_options* options) const { lamella_options_free(options); }
  void operator()(lamella_model* model) const { lamella_model_free(model); }
};
using Options = std::unique_ptr<lamella_options, Freed>;
using Model = std::unique_ptr<lamella_model, Freed>;

/// Options of one thread on the CPU; null if a call failed.
Options one_thread(const char* updatable = "false") {
  lamella_options* made = nullptr;
  if (failed(lamella_options_create(&made))) return nullptr;
  Options options(made);
  const bool bad = failed(lamella_options_set(made, "device", "cpu")) || failed(lamella_options_set(made, "threads", "1")) ||
                   failed(lamella_options_set(made, "updatable", updatable));
  return bad ? nullptr : std::move(options);
}

/// The model that `make` makes; null, and nothing written, if it failed.
Model made(const std::function<lamella_error*(lamella_model**)>& make) {
  lamella_model* model = nullptr;
  const bool bad = failed(make(&model));
  EXPECT_EQ(model == nullptr, bad);
  return Model(model);
}

Model loaded(const char* updatable = "false") {
  const Options options = one_thread(updatable);
  return made([&](lamella_model** model) { return lamella_model_load(kModel.c_str(), options.get(), model); });
}

/// The model's answer for two rows, in memory with or without strides.
struct Answer {
  std::array<float, 14> x{};
  std::array<float, 20> y{};
  std::array<std::int64_t, 2> x_shape{2, 7};
  std::array<std::int64_t, 2> y_shape{2, 5};
  std::array<std::int64_t, 2> y_strides{10, 2};
  lamella_tensor in{sizeof in, x.data(), LAMELLA_FLOAT32, 2, x_shape.data(), nullptr, LAMELLA_CPU, 0};
  lamella_tensor out{sizeof out, y.data(), LAMELLA_FLOAT32, 2, y_shape.data(), nullptr, LAMELLA_CPU, 0};

  explicit Answer(bool strides = false) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.25F * static_cast<float>(i) - 1.0F;
    if (strides) out.strides = y_strides.data();
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() = default;

  lamella_error* of(const lamella_model* model) {
    y.fill(0);
    return lamella_model_predict(model, &in, 1, &out, 1);
  }
};

/// What a model answers, where nothing fails.
std::array<float, 20> answer_of(const lamella_model* model) {
  Answer answer;
  EXPECT_FALSE(failed(answer.of(model)));
  return answer.y;
}

/// Makes call 1, 2, 3, ... of the action fail, until it has no such call. The action returns whether it failed.
void strike(const std::function<bool()>& action, const std::function<void()>& after) {
  for (const bool forever : {false, true}) {
    ASSERT_FALSE(action());  // makes what the process makes only once
    std::size_t total = 0;
    for (std::size_t n = lamella::test::first_fault(); n < kMostCalls && !testing::Test::HasFailure();
         n += lamella::test::kOneFaultOf) {
      const std::size_t files = lamella::fault::open_files();
      const std::size_t blocks = lamella::fault::live_blocks();
      lamella::fault::arm(n, forever);
      const bool fails = action();
      const std::size_t injected = lamella::fault::disarm();
      total += injected;
      EXPECT_TRUE(!fails || injected > 0) << "failed without an injected fault at call " << n;
      after();
      EXPECT_EQ(lamella::fault::live_blocks(), blocks) << "memory leaks after a fault in call " << n;
      EXPECT_EQ(lamella::fault::open_files(), files) << "a descriptor leaks after a fault in call " << n;
      if (injected == 0) break;
    }
    EXPECT_GT(total, 0U);
  }
}

void strike(const std::function<bool()>& action) {
  strike(action, [] {});
}

TEST(CApiFaults, InLoadingLeaveNothing) {
  strike([] {
    const Options options = one_thread();
    if (options == nullptr) return true;
    return made([&](auto model) { return lamella_model_load(kModel.c_str(), options.get(), model); }) == nullptr;
  });
  std::ifstream file(kModel, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const Options options = one_thread();
  strike([&] {
    return made([&](auto model) { return lamella_model_load_bytes(bytes.data(), bytes.size(), options.get(), model); }) ==
           nullptr;
  });
  const std::int64_t shape[] = {7};
  strike([&] {
    return made([&](auto model) { return lamella_model_load_with_shape(kModel.c_str(), shape, 1, options.get(), model); }) ==
           nullptr;
  });
}

TEST(CApiFaults, InLoggingLoseMessagesAndNothingElse) {
  static int told = 0;
  static int freed = 0;
  const auto log = [](std::int32_t, const char*, void*) { ++told; };
  int set = 0;
  strike(
      [&] {
        lamella_model* model = nullptr;
        bool bad = failed(lamella_set_log_function(log, &freed, [](void* user) { ++*static_cast<int*>(user); }));
        set += bad ? 0 : 1;
        bad = failed(lamella_model_load(kModel.c_str(), nullptr, &model)) || bad;
        lamella_model_free(model);
        return failed(lamella_set_log_function(nullptr, nullptr, nullptr)) || bad;
      },
      [&] { EXPECT_EQ(freed, set); });
  EXPECT_GT(told, 0);
}

TEST(CApiFaults, InPredictionsLeaveTheModelUnchanged) {
  const Model model = loaded();
  const auto wanted = answer_of(model.get());
  const auto same = [&] { ASSERT_EQ(answer_of(model.get()), wanted); };
  for (const bool strides : {false, true}) {
    strike(
        [&] {
          Answer answer(strides);
          return failed(answer.of(model.get()));
        },
        same);
  }
  strike(
      [&] {
        Answer answer;
        lamella_results* results = nullptr;
        if (failed(lamella_model_predict_new(model.get(), &answer.in, 1, &results))) {
          EXPECT_EQ(results, nullptr);
          return true;
        }
        const bool bad = failed(lamella_results_get(results, 0, &answer.out));
        EXPECT_TRUE(bad || std::memcmp(answer.out.data, wanted.data(), 10 * sizeof(float)) == 0);
        lamella_results_free(results);
        return bad;
      },
      same);
}

TEST(CApiFaults, InPreparingABatchLeaveAModelThatPredicts) {
  const auto wanted = answer_of(loaded().get());
  const Options options = one_thread();
  const std::int64_t batches[] = {2, 64};
  strike([&] {
    const Model model = made([&](auto to) { return lamella_model_load(kModel.c_str(), options.get(), to); });
    if (model == nullptr) return true;
    const bool bad = failed(lamella_model_prepare(model.get(), batches, 2));
    EXPECT_TRUE(!bad || answer_of(model.get()) == wanted);
    return bad;
  });
}

TEST(CApiFaults, InTextsAndFactsLeaveTheModelUnchanged) {
  const Model model = loaded();
  const auto wanted = answer_of(model.get());
  strike(
      [&] {
        bool bad = false;
        const auto text = [&](const auto& ask) {
          char* to = nullptr;
          const bool now = failed(ask(&to));
          EXPECT_EQ(to == nullptr, now);
          lamella_string_free(to);
          bad = bad || now;
        };
        text([&](char** to) { return lamella_model_summary(model.get(), to); });
        text([&](char** to) { return lamella_model_explain(model.get(), 2, 0, to); });
        text([&](char** to) { return lamella_model_explain(model.get(), 2, 1, to); });
        std::uint64_t host = 0;
        std::uint64_t device = 0;
        bad = failed(lamella_model_memory_bytes(model.get(), &host, &device)) || bad;
        lamella_stats stats{};
        stats.struct_size = sizeof stats;
        bad = failed(lamella_model_stats(model.get(), &stats)) || bad;
        lamella_tensor what{};
        what.struct_size = sizeof what;
        bad = failed(lamella_model_input(model.get(), 0, &what)) || failed(lamella_model_output(model.get(), 0, &what)) || bad;
        std::int32_t type = 0;
        std::int32_t index = 0;
        return failed(lamella_model_device(model.get(), &type, &index)) || bad;
      },
      [&] { ASSERT_EQ(answer_of(model.get()), wanted); });
}

TEST(CApiFaults, InMakingModelsFromAModelLeaveItUnchanged) {
  const Model model = loaded();
  const auto wanted = answer_of(model.get());
  const char* const names[] = {"negative_slope"};
  const double values[] = {0.05};
  const std::function<lamella_error*(lamella_model**)> makes[] = {
      [&](lamella_model** to) { return lamella_model_with_activation(model.get(), "dense", "tanh", to); },
      [&](lamella_model** to) {
        return lamella_model_with_activation_parameters(model.get(), "dense", "leaky_relu", names, values, 1, to);
      },
      [&](lamella_model** to) { return lamella_model_output_of(model.get(), "dense", to); },
      [&](lamella_model** to) { return lamella_model_with_weights(model.get(), kModel.c_str(), to); },
  };
  for (const auto& make : makes) {
    strike([&] { return made(make) == nullptr; },
           [&] {
             ASSERT_NE(made(make), nullptr);  // also drops constants that the model before it left in the common pool
             ASSERT_EQ(answer_of(model.get()), wanted);
           });
  }
}

TEST(CApiFaults, InSavingLeaveAWholeFile) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("fault_c_save_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = (folder / "m.keras").string();
  const Model model = loaded();
  const auto wanted = answer_of(model.get());
  strike([&] { return failed(lamella_model_save(model.get(), path.c_str())); },
         [&] {
           const Model read = made([&](auto to) { return lamella_model_with_weights(model.get(), path.c_str(), to); });
           ASSERT_EQ(answer_of(read.get()), wanted);
           ASSERT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1) << "something was left beside it";
         });
  std::filesystem::remove_all(folder);
}

/// Two sets of weights; biases with strides, which are copied.
struct Weights {
  std::vector<float> kernel;
  std::vector<float> bias;
  std::array<std::int64_t, 2> kernel_shape{7, 5};
  std::array<std::int64_t, 1> bias_shape{5};
  std::array<std::int64_t, 1> bias_strides{2};
  std::array<const char*, 2> names{"dense/kernel", "dense/bias"};
  std::array<lamella_tensor, 2> values{};

  explicit Weights(float value) : kernel(35, value), bias(9, 2 * value) {
    values[0] = {sizeof values[0], kernel.data(), LAMELLA_FLOAT32, 2, kernel_shape.data(), nullptr, LAMELLA_CPU, 0};
    values[1] = {sizeof values[1], bias.data(), LAMELLA_FLOAT32, 1, bias_shape.data(), bias_strides.data(), LAMELLA_CPU, 0};
  }
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;
  ~Weights() = default;
};

/// update(0) and update(1) give a model other weights.
void expect_all_or_nothing(const Model& model, const std::function<lamella_error*(std::size_t)>& update) {
  std::array<std::array<float, 20>, 2> wanted{};
  for (const std::size_t which : {0U, 1U}) {
    ASSERT_FALSE(failed(update(which)));
    wanted[which] = answer_of(model.get());
  }
  ASSERT_NE(wanted[0], wanted[1]);
  std::size_t now = 1;
  strike(
      [&] {
        const bool bad = failed(update(1 - now));
        if (!bad) now = 1 - now;
        return bad;
      },
      [&] { ASSERT_EQ(answer_of(model.get()), wanted[now]); });
}

TEST(CApiFaults, InUpdatingWeightsChangeAllOrNothing) {
  const Model model = loaded("true");
  const std::array<Weights, 2> weights{Weights(0.25F), Weights(-0.5F)};
  expect_all_or_nothing(model, [&](std::size_t which) {
    return lamella_model_update_weights(model.get(), weights[which].names.data(), weights[which].values.data(), 2);
  });
}

TEST(CApiFaults, InUpdatingFromAFileChangeAllOrNothing) {
  const Model model = loaded("true");
  std::array<std::string, 2> files;
  for (const std::size_t which : {0U, 1U}) {
    files[which] = testing::TempDir() + "/c_api_fault_" + std::to_string(::getpid()) + "_" + std::to_string(which) + ".npz";
    const std::vector<float> kernel(35, which == 0 ? 0.25F : -0.5F);
    lamella::save_npz(files[which], {{"dense/kernel", lamella::TensorView(kernel, {7, 5})}});
  }
  expect_all_or_nothing(model,
                        [&](std::size_t which) { return lamella_model_update_from_file(model.get(), files[which].c_str()); });
  for (const std::string& file : files) std::filesystem::remove(file);
}

TEST(CApiFaults, InRefusalsAreErrorsToo) {
  const Model model = loaded("true");
  const auto wanted = answer_of(model.get());
  const Weights weights(0.25F);
  const Options options = one_thread();
  strike(
      [&] {
        Answer answer;
        const Answer strided(true);
        lamella_model* none = nullptr;
        bool bad = failed_to_refuse(lamella_model_enqueue(model.get(), &answer.in, 1, &answer.out, 1, nullptr), "E_DEVICE");
        bad |= failed_to_refuse(lamella_model_enqueue(model.get(), &answer.in, 1, &strided.out, 1, nullptr), "E_ARGUMENT");
        bad |= failed_to_refuse(
            lamella_model_enqueue_update(model.get(), weights.names.data(), weights.values.data(), 2, nullptr), "E_DEVICE");
        bad |= failed_to_refuse(lamella_options_set(options.get(), "speed", "fast"), "E_VALUE");
        bad |= failed_to_refuse(lamella_model_with_activation(model.get(), "nobody", "tanh", &none), "E_VALUE");
        answer.in.struct_size = 1;
        return failed_to_refuse(answer.of(model.get()), "E_ARGUMENT") || bad;
      },
      [&] { ASSERT_EQ(answer_of(model.get()), wanted); });
}

}  // namespace
