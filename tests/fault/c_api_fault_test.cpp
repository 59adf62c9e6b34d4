// SPDX-License-Identifier: Apache-2.0
// The C interface while each allocation and each system call fails in turn, alone or with all later ones: every failure is an
// error object, nothing leaks, and the same model then answers as before.
#include "effort.hpp"
#include "fault/faults.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <lamella/lamella.h>
#include <array>
#include <cstring>
#include <functional>
#include <string>
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

/// The model's answer for two rows, in memory with or without strides.
struct Answer {
  std::array<float, 14> x{};
  std::array<float, 20> y{};
  std::array<std::int64_t, 2> x_shape{2, 7};
  std::array<std::int64_t, 2> y_shape{2, 5};
  std::array<std::int64_t, 2> y_strides{10, 2};

  lamella_error* of(const lamella_model* model, bool strides) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.25F * static_cast<float>(i) - 1.0F;
    y.fill(0);
    const lamella_tensor in{sizeof in, x.data(), LAMELLA_FLOAT32, 2, x_shape.data(), nullptr, LAMELLA_CPU, 0};
    const lamella_tensor out{sizeof out,  y.data(), LAMELLA_FLOAT32, 2, y_shape.data(), strides ? y_strides.data() : nullptr,
                             LAMELLA_CPU, 0};
    return lamella_model_predict(model, &in, 1, &out, 1);
  }
};

/// Makes call 1, 2, 3, ... of the action fail, until it has no such call. The action returns whether it failed.
void strike(const std::function<bool()>& action, const std::function<void()>& after) {
  for (const bool forever : {false, true}) {
    ASSERT_FALSE(action());  // makes what the process makes only once
    std::size_t total = 0;
    for (std::size_t n = 1; n < kMostCalls && !testing::Test::HasFailure(); n += lamella::test::kOneCaseOf) {
      const std::size_t blocks = lamella::fault::live_blocks();
      lamella::fault::arm(n, forever);
      const bool fails = action();
      const std::size_t injected = lamella::fault::disarm();
      total += injected;
      EXPECT_TRUE(!fails || injected > 0) << "failed without an injected fault at call " << n;
      after();
      EXPECT_EQ(lamella::fault::live_blocks(), blocks) << "memory leaks after a fault in call " << n;
      if (injected == 0) break;
    }
    EXPECT_GT(total, 0U);
  }
}

TEST(CApiFaults, InLoadingLeaveNothing) {
  const auto nothing = [] {};
  strike(
      [] {
        lamella_options* options = nullptr;
        if (failed(lamella_options_create(&options))) return true;
        lamella_model* model = nullptr;
        const bool bad = failed(lamella_options_set(options, "device", "cpu")) ||
                         failed(lamella_options_set(options, "threads", "1")) ||
                         failed(lamella_model_load(kModel.c_str(), options, &model));
        lamella_model_free(model);
        lamella_options_free(options);
        return bad;
      },
      nothing);
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

TEST(CApiFaults, InPredictionsAndTextsLeaveTheModelUnchanged) {
  lamella_options* options = nullptr;
  ASSERT_FALSE(failed(lamella_options_create(&options)));
  ASSERT_FALSE(failed(lamella_options_set(options, "device", "cpu")));
  ASSERT_FALSE(failed(lamella_options_set(options, "threads", "1")));
  lamella_model* model = nullptr;
  ASSERT_FALSE(failed(lamella_model_load(kModel.c_str(), options, &model)));
  lamella_options_free(options);
  for (const bool strides : {false, true}) {
    Answer wanted;
    ASSERT_FALSE(failed(wanted.of(model, strides)));
    strike(
        [&] {
          Answer answer;
          char* text = nullptr;
          bool bad = failed(answer.of(model, strides));
          bad = failed(lamella_model_summary(model, &text)) || bad;
          lamella_string_free(text);
          return bad;
        },
        [&] {
          Answer answer;
          ASSERT_FALSE(failed(answer.of(model, strides)));
          ASSERT_EQ(answer.y, wanted.y);
        });
  }
  lamella_model_free(model);
}

}  // namespace
