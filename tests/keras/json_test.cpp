// SPDX-License-Identifier: Apache-2.0
#include "keras/json.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

namespace lamella::keras {
namespace {

nlohmann::json parse(std::string_view text) {
  return parse_json(std::as_bytes(std::span(text)), Where("x.keras").member("config.json"));
}

ErrorCode code_of(std::string_view text) {
  try {
    static_cast<void>(parse(text));
  } catch (const LoadError& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown for " << text.substr(0, 80);
  return ErrorCode::internal;
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST(JsonTest, KeepsIntegersExact) {
  const auto json =
      parse(R"({"a": 18446744073709551615, "b": -9223372036854775808, "c": [1, 1.5, true, null, "\u00e9\ud83d\ude00"]})");
  EXPECT_EQ(json["a"].get<std::uint64_t>(), 18446744073709551615U);
  EXPECT_EQ(json["b"].get<std::int64_t>(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(json["c"].dump(), "[1,1.5,true,null,\"é😀\"]");
}

TEST(JsonTest, ReadsPythonsLiteralsAsValues) {
  const auto json = parse(R"([1, NaN, {"NaN, Infinity": "-Infinity \" NaN", "x":-Infinity}, -2e3,Infinity , 0])");
  EXPECT_EQ(json[0], 1);
  EXPECT_TRUE(std::isnan(json[1].get<double>()));
  EXPECT_EQ(json[2]["NaN, Infinity"], "-Infinity \" NaN");
  EXPECT_EQ(json[2]["x"].get<double>(), -INFINITY);
  EXPECT_EQ(json[3].get<double>(), -2000.0);
  EXPECT_EQ(json[4].get<double>(), INFINITY);
  EXPECT_EQ(json[5], 0);
  EXPECT_TRUE(std::isnan(parse("NaN").get<double>()));
  for (const char* text :
       {"5NaN", "NaN5", "[NaNNaN]", "--Infinity", "-NaN", "+Infinity", "nan", "{NaN: 1}", "1 NaN", "Infinit"}) {
    EXPECT_EQ(code_of(text), ErrorCode::json) << text;
  }
}

TEST(JsonTest, RefusesWhatIsNotJson) {
  for (const char* text :
       {"", " ", "{", "{}x", "[1,]", "{\"a\":1,}", "'a'", "01", "1e999", "[1] 2", "\"\\ud800\"", "\"\\udc00\\ud800\"",
        "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"\xFF\"", "\"\n\"", "{\"a\":1,\"a\":2}", "\xEF\xBB\xBF{}", "// no\n1"}) {
    EXPECT_EQ(code_of(text), ErrorCode::json) << text;
  }
  EXPECT_EQ(code_of(std::string_view("\xFF\xFE{\0}\0", 6)), ErrorCode::json);
  EXPECT_EQ(code_of(std::string_view("{\0}\0", 4)), ErrorCode::json);
}

TEST(JsonTest, RefusesIntegersPast64Bits) {
  EXPECT_EQ(code_of("18446744073709551616"), ErrorCode::overflow);
  EXPECT_EQ(code_of("[-9223372036854775809]"), ErrorCode::overflow);
}

TEST(JsonTest, ObeysItsLimits) {
  EXPECT_NO_THROW(static_cast<void>(parse(repeated("[", 64) + repeated("]", 64))));
  EXPECT_EQ(code_of(repeated("[", 65) + repeated("]", 65)), ErrorCode::limit);
  EXPECT_EQ(code_of(repeated("[", 1'000'000)), ErrorCode::limit);
  EXPECT_EQ(code_of(repeated("{\"a\":", 1'000'000)), ErrorCode::limit);
  EXPECT_EQ(code_of("[" + repeated("1,", 1'000'000) + "1]"), ErrorCode::limit);
  EXPECT_EQ(code_of(std::string((64U << 20U) + 1, ' ')), ErrorCode::limit);
}

TEST(JsonTest, SaysWhere) {
  try {
    static_cast<void>(parse(R"({"units": 1, "units": 2})"));
    FAIL();
  } catch (const LoadError& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::StartsWith("x.keras!config.json: near byte 20"), testing::HasSubstr("'units'")));
  }
}

TEST(JsonTest, SurvivesRandomBytes) {
  const std::string whole = R"({"a": [1, NaN, -Infinity, "\u00e9\ud83d\ude00é", {"b": null, "c": -1.5e-3}], "d": true})";
  std::mt19937 random(9);
  for (int i = 0; i < 20000; ++i) {
    std::string text = whole;
    text[random() % text.size()] = static_cast<char>(random());
    try {
      static_cast<void>(parse(text));
    } catch (const LoadError&) {
    }
  }
}

}  // namespace
}  // namespace lamella::keras
