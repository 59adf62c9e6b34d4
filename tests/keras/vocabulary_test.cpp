// SPDX-License-Identifier: Apache-2.0
// The text file in an archive with the vocabulary of an adapted IntegerLookup.
#include <lamella/model.hpp>

#include "keras/refused.hpp"
#include "keras/repacked.hpp"

namespace lamella {
namespace {

using namespace test;

std::string with_vocabulary(const std::string& text) {
  const std::string real = std::string(LAMELLA_FIXTURES) + "/features/keras3-tensorflow/learnt_lookup_one_hot/model.keras";
  return zip({{"config.json", member(real, "config.json")},
              {"model.weights.h5", member(real, "model.weights.h5")},
              {"assets/layers/integer_lookup/vocabulary.txt", text}});
}

TEST(VocabularyTest, ThatIsInvalidIsRefused) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> refused{{"", {"is empty"}},
                                                                              {"\n\n", {"is empty"}},
                                                                              {"-1\n3\nx\n", {"the line 3"}},
                                                                              {"-1\n3\n\n4", {"the line 3"}},
                                                                              {"-1\n 3", {"the line 2"}},
                                                                              {"-1\n3.0", {"the line 2"}},
                                                                              {"-1\n9223372036854775808", {"the line 2"}},
                                                                              {"-1\n3\n4\n3", {"has 3 twice"}}};
  for (const auto& [text, words] : refused) {
    const TemporaryFile file(with_vocabulary(text));
    expect_refused(file.path(), ErrorCode::value, words);
  }
}

TEST(VocabularyTest, MayBeginWithTheSpecialTokensAndEndInEmptyLines) {
  for (const char* text : {"-1\n3\n4", "-1\r\n3\r\n4\r\n", "3\n4\n\n"}) {
    const TemporaryFile file(with_vocabulary(text));
    EXPECT_EQ(Model::load(file.path(), {.device = Device::cpu()}).output_shape(), (std::vector<std::int64_t>{3})) << text;
  }
}

}  // namespace
}  // namespace lamella
