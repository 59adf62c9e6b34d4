// SPDX-License-Identifier: Apache-2.0
#pragma once

// A file that must not load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace lamella::test
