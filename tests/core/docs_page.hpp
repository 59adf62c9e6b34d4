// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

/// Pages of docs/ that tests generate.
namespace lamella::test {

/// The heading in docs/accuracy.md where the part on compiled kernels begins: activation_docs_test generates the text before it,
/// ptx_accuracy_test the rest.
inline constexpr std::string_view kCompiledPart = "\n## Device, compiled code\n";

inline std::string path_of_page(const std::string& file) { return std::string(LAMELLA_SOURCE_DIR) + "/docs/" + file; }
inline std::string committed_page(const std::string& file) {
  std::stringstream text;
  text << std::ifstream(path_of_page(file)).rdbuf();
  return text.str();
}
/// Writes the page when the test is run with LAMELLA_WRITE_DOCS=1.
inline void expect_page(const std::string& file, const std::string& page, const char* program) {
  if (std::getenv("LAMELLA_WRITE_DOCS") != nullptr) std::ofstream(path_of_page(file)) << page;
  EXPECT_EQ(committed_page(file), page) << "run LAMELLA_WRITE_DOCS=1 " << program << " and commit docs/" << file;
}

}  // namespace lamella::test
