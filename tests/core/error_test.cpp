// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/check.hpp"

namespace lamella {
namespace {

TEST(ErrorTest, EveryCodeHasItsOwnNameThatEndsMessages) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code) {
    const std::string_view found = to_string(static_cast<ErrorCode>(code));
    EXPECT_TRUE(found.starts_with("E_")) << code;
    EXPECT_TRUE(names.insert(found).second) << found;
    const Error error(static_cast<ErrorCode>(code), "what happened");
    EXPECT_EQ(error.what(), core::format("what happened [{}]", found));
    EXPECT_EQ(core::without_code(error.what()), "what happened");
  }
  EXPECT_EQ(core::without_code("no code"), "no code");
}

TEST(ErrorTest, FailedAssertionsSayWhere) {
  try {
    LAMELLA_ASSERT(1 > 2, "one is {}", 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("error_test.cpp:"), testing::HasSubstr("one is 1")));
  }
}

TEST(EscapedTest, KeepsPrintableText) {
  for (const char* text : {"", "plain ~", "\xC2\xA0", "größe", "\xDF\xBF", "\xE0\xA0\x80", "層", "\xED\x9F\xBF", "\xEF\xBF\xBD",
                           "\xE2\x80\x8A", "\xE2\x80\x90", "\xE2\x80\xA7", "\xE2\x80\xAF", "\xE2\x81\xA5", "\xE2\x81\xAA",
                           "\xE2\x82\x80", "\xF0\x90\x80\x80", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(core::escaped(text), text);
  }
}

/// Control bytes, marks that reverse text, and invalid UTF-8: overlong, surrogate, past the last code point, cut short,
/// misplaced.
TEST(EscapedTest, EscapesAllOtherBytes) {
  for (const std::string_view text : {"\x01",
                                      "\x1F",
                                      "\x7F",
                                      "\xC2\x80",
                                      "\xC2\x9F",
                                      "\xE2\x80\x8B",
                                      "\xE2\x80\x8F",
                                      "\xE2\x80\xA8",
                                      "\xE2\x80\xAE",
                                      "\xE2\x81\xA6",
                                      "\xE2\x81\xA9",
                                      "\x80",
                                      "\xBF",
                                      "\xC0\xAF",
                                      "\xC1\xBF",
                                      "\xC2",
                                      "\xE0\x9F\xBF",
                                      "\xE1\x80",
                                      "\xED\xA0\x80",
                                      "\xED\xBF\xBF",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF1\x80\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF"}) {
    std::string bytes;
    for (const char c : text) {
      char code[5];
      static_cast<void>(std::snprintf(code, sizeof code, "\\x%02X", static_cast<unsigned>(static_cast<unsigned char>(c))));
      bytes += code;
    }
    EXPECT_EQ(core::escaped(text), bytes);
    EXPECT_EQ(core::escaped("a" + std::string(text) + "b"), "a" + bytes + "b");
  }
  EXPECT_EQ(core::escaped(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(core::escaped("\xC3("), "\\xC3(");
  EXPECT_EQ(core::escaped("\xE2\x28\xA1"), "\\xE2(\\xA1");
}

TEST(EscapedTest, EscapesMarksThatReverseTextAndInvisibleCharacters) {
  const std::pair<const char*, const char*> kHidden[] = {{"\u061c", "\\xD8\\x9C"},
                                                         {"\u200b", "\\xE2\\x80\\x8B"},
                                                         {"\u202e", "\\xE2\\x80\\xAE"},
                                                         {"\u2066", "\\xE2\\x81\\xA6"},
                                                         {"\u00ad", "\\xC2\\xAD"},
                                                         {"\ufeff", "\\xEF\\xBB\\xBF"},
                                                         {"\U000e0041", "\\xF3\\xA0\\x81\\x81"}};
  for (const auto& [text, shown] : kHidden) EXPECT_EQ(core::escaped(text), shown);
  for (const char* seen : {"\u00ac", "\u00ae", "\u061b", "\u2010", "\u202f", "\u2070", "\U000e0080"})
    EXPECT_EQ(core::escaped(seen), seen);
}

TEST(EscapedTest, ShortensLongTextBetweenCharacters) {
  EXPECT_EQ(core::escaped("abcdef", 4), "abcd...");
  EXPECT_EQ(core::escaped("abcd", 4), "abcd");
  EXPECT_EQ(core::escaped("abc\xC3\xA4", 4), "abc...");
  EXPECT_EQ(core::escaped("ab\x01", 4), "ab...");
}

}  // namespace
}  // namespace lamella
