// SPDX-License-Identifier: Apache-2.0
// Compares summary() with Keras' own for the same files (tests/fixtures/summaries.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <lamella/models.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/check.hpp"

namespace lamella {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Cells = std::vector<std::string>;

const Options kCpu{.device = Device::cpu(), .threads = 1};
const std::string kBar = "│";

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

struct Parsed {
  std::map<std::string, Cells> rows;  ///< by the first cell
  Cells totals;
};

/// Parses the table; joins lines that continue a cell.
Parsed parsed(const std::string& summary) {
  Parsed result;
  Cells row;
  const auto finish = [&] {
    if (!row.empty()) result.rows[row[0]] = row;
    row.clear();
  };
  std::istringstream lines(summary);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" params: ") != std::string::npos) result.totals.push_back(trimmed(line));
    if (!line.starts_with(kBar)) {
      finish();
      continue;
    }
    std::size_t at = kBar.size();
    for (std::size_t cell = 0; at < line.size(); ++cell) {
      const std::size_t end = line.find(kBar, at);
      const std::string text = trimmed(line.substr(at, end - at));
      if (row.size() <= cell) {
        row.push_back(text);
      } else if (!text.empty()) {
        row[cell] += " " + text;
      }
      at = end + kBar.size();
    }
  }
  return result;
}

std::string without_commas(std::string text) {
  std::erase(text, ',');
  return text;
}

class SummaryOf : public ::testing::TestWithParam<const char*> {};

TEST_P(SummaryOf, EveryFixtureAgreesWithKeras) {
  const std::string folder = core::format("{}/{}/", LAMELLA_FIXTURES, GetParam());
  std::ifstream file(folder + "summaries.json");
  const auto summaries = nlohmann::json::parse(file);
  int compared = 0;
  for (const auto& [path, keras] : summaries.items()) {
    if (path.find("lora") != std::string::npos) continue;  // lamella adds LoRA's matrices to the kernel
    const Parsed own = parsed(Model::load(folder + path, kCpu).summary());
    EXPECT_EQ(own.totals, keras.at("totals").get<Cells>()) << path;
    EXPECT_EQ(own.rows.size(), keras.at("rows").size()) << path;
    for (const auto& row : keras.at("rows")) {
      const auto wanted = row.get<Cells>();
      const auto found = own.rows.find(wanted[0]);
      ASSERT_NE(found, own.rows.end()) << path << ": " << wanted[0];
      EXPECT_EQ(found->second.size() > 3, wanted.size() > 3) << path << ": only one has 'Connected to'";
      // Keras' shapes ignore that glu halves an extent, and leave an EinsumDense's open extents open.
      const bool halved = path.starts_with("dense_glu") || wanted[0].find("_glu (") != std::string::npos;
      if (!halved && wanted[0].find("(EinsumDense)") == std::string::npos) {
        EXPECT_EQ(found->second[1], wanted[1]) << path << ": " << wanted[0];
      }
      EXPECT_EQ(without_commas(found->second[2]), wanted[2]) << path << ": " << wanted[0];
      if (path.starts_with("model_of_a_list"))
        continue;  // Keras shows the dict that the layer is called with, lamella the input that it takes
      EXPECT_EQ(Cells(found->second.begin() + 3, found->second.end()), Cells(wanted.begin() + 3, wanted.end()))
          << path << ": " << wanted[0];
    }
    ++compared;
  }
  EXPECT_GT(compared, 8);
}

INSTANTIATE_TEST_SUITE_P(Groups, SummaryOf,
                         ::testing::Values("keras3", "keras3-more", "keras3-lookups", "features/keras3", "calls/keras3",
                                           "operations/keras3", "quantized/3.15.1"),
                         [](const auto& item) {
                           std::string name = item.param;
                           std::replace_if(
                               name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(SummaryTest, CountsAdaptedBoundariesAsNotTrainable) {
  const std::string path = std::string(LAMELLA_FIXTURES) + "/features/keras2/h5_learnt_bins_of_few/model.h5";
  const std::string text = Model::load(path, {.device = Device::cpu()}).summary();
  EXPECT_THAT(text, HasSubstr(" Trainable params: 0 (0.00 B)\n Non-trainable params: 4 (16.00 B)\n"));
}

TEST(SummaryTest, KeepsItsColumnsForNamesInAnyScriptAndOfAnyLength) {
  Sequential net({Dense(2, {.name = "größe"}), Dense(3, {.name = std::string(100, 'x')}),
                  Dense(4, {.name = "a name of several words that is long"})});
  net.build({3});
  std::istringstream lines(net.summary());
  std::string line;
  std::getline(lines, line);  // skips the model's name
  for (; std::getline(lines, line) && !line.starts_with(" ");) {
    std::size_t columns = 0;
    for (const char c : line) columns += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    EXPECT_EQ(columns, 80U) << line;
  }
  EXPECT_THAT(net.summary(), HasSubstr("größe (Dense)"));
}

TEST(SummaryTest, NamesTheFormulaOfAHardSigmoidInsideANestedModel) {
  Sequential inner({Dense(2, {.activation = "hard_sigmoid"})});
  Sequential net({Dense(3), inner});
  net.build({3});
  EXPECT_THAT(net.summary(), HasSubstr("hard_sigmoid is Keras 3's clip(x/6 + 0.5, 0, 1)."));
  Sequential plain({Dense(3)});
  plain.build({3});
  EXPECT_THAT(plain.summary(), Not(HasSubstr("hard_sigmoid")));
}

}  // namespace
}  // namespace lamella
