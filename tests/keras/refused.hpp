// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files that must not load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <lamella/model.hpp>
#include <string>
#include <vector>

namespace lamella::test {

/// Expects an error with this code and, in its message, each of these words and, for a LoadError, the file.
inline void expect_refused(const std::string& path, ErrorCode code, const std::vector<std::string>& words) {
  try {
    static_cast<void>(Model::load(path, {.device = Device::cpu()}));
    FAIL() << "was loaded";
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    // Errors found while shapes are computed name only the layer.
    if (dynamic_cast<const LoadError*>(&error) != nullptr) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(path));
    }
    for (const std::string& word : words) EXPECT_THAT(error.what(), ::testing::HasSubstr(word));
  } catch (const std::exception& error) {
    FAIL() << "threw something else: " << error.what();
  }
}

/// Expects a LoadError with this code, and returns its message.
inline std::string refusal(ErrorCode code, const std::function<void()>& f) {
  try {
    f();
  } catch (const LoadError& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "threw something else: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace lamella::test
