// SPDX-License-Identifier: Apache-2.0
// Damaged and hostile .safetensors files: each is refused, in memory of exactly its size.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "keras/arrays.hpp"

namespace lamella::keras {
namespace {

using ::testing::HasSubstr;

std::string prefix(std::uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> 8U * static_cast<unsigned>(i) & 0xFFU);
  return bytes;
}

std::string with_header(const std::string& header, const std::string& data = "") { return prefix(header.size()) + header + data; }

/// A file with one array.
std::string with_entry(const std::string& entry, const std::string& data) { return with_header(R"({"a": )" + entry + "}", data); }

Arrays read(const std::string& file) {
  const Buffer copy(file.size());
  std::copy(file.begin(), file.end(), reinterpret_cast<char*>(copy.data));
  return safetensors_arrays(copy.freeze().bytes, Where("w.safetensors"));
}

void expect_refused(const std::string& file, ErrorCode code, const std::string& words) {
  try {
    static_cast<void>(read(file));
    ADD_FAILURE() << "was read; expected: " << words;
  } catch (const LoadError& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("w.safetensors: " + words));
  }
}

const std::string kOne = R"({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})";

TEST(SafetensorsTest, ReadsWhatIsWhole) {
  const Arrays arrays =
      read(with_header(R"({"__metadata__": {"format": "pt"}, "b": {"dtype": "U8", "shape": [2], "data_offsets": [4, 6]}, )"
                       R"("a": {"shape": [1], "dtype": "F32", "data_offsets": [0, 4]}}   )",
                       std::string("\0\0\x80\x3f\x05\x06", 6)));
  ASSERT_EQ(arrays.size(), 2U);
  EXPECT_EQ(arrays.at("a").span<float>()[0], 1.0F);
  EXPECT_EQ(arrays.at("b").span<std::uint8_t>()[1], 6);
}

TEST(SafetensorsTest, BytesOfBooleansBecomeZeroAndOne) {
  const Arrays arrays = read(with_entry(R"({"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]})", std::string("\xFF\0", 2)));
  const auto* const bytes = static_cast<const unsigned char*>(arrays.at("a").data());
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[1], 0);
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  const std::string file = with_entry(kOne, "1234");
  ASSERT_EQ(read(file).size(), 1U);
  for (std::size_t size = 0; size < file.size(); ++size) EXPECT_THROW((void)read(file.substr(0, size)), LoadError) << size;
  expect_refused(file + "5", ErrorCode::unsafe, "the arrays end at byte 4, the file has 5 bytes of elements");
}

TEST(SafetensorsTest, HeadersThatAreNone) {
  expect_refused(prefix(1ULL << 62U) + "{}", ErrorCode::archive, "the .safetensors file is truncated");
  expect_refused(prefix(~0ULL) + "{}", ErrorCode::archive, "the .safetensors file is truncated");
  expect_refused(with_header("[]"), ErrorCode::json, "the header is not an object");
  expect_refused(with_header("{\"a\""), ErrorCode::json, "near byte");
  expect_refused(with_header(""), ErrorCode::json, "is empty");
  expect_refused(with_header(R"({"a": )" + kOne + R"(, "a": )" + kOne + "}", "1234"), ErrorCode::json,
                 "near byte 65: the key 'a' appears twice");
  expect_refused(with_header(std::string(70, '[')), ErrorCode::limit, "near byte");
}

TEST(SafetensorsTest, EntriesThatAreNone) {
  expect_refused(with_entry("3", ""), ErrorCode::json, "'a' is not an object in the header");
  expect_refused(with_entry("{}", ""), ErrorCode::json, "'a' has no string 'dtype'");
  expect_refused(with_entry(R"({"dtype": "F4", "shape": [1], "data_offsets": [0, 4]})", "1234"), ErrorCode::dtype,
                 "'a': dtype: got 'F4', allowed BF16");
  expect_refused(with_entry(R"({"dtype": "F32", "data_offsets": [0, 4]})", "1234"), ErrorCode::json, "'a' has no list 'shape'");
  expect_refused(with_entry(R"({"dtype": "F32", "shape": [1]})", "1234"), ErrorCode::json, "'a' has no list 'data_offsets'");
  expect_refused(with_entry(R"({"dtype": "F32", "shape": [1], "data_offsets": [4]})", "1234"), ErrorCode::json,
                 "'a': data_offsets: got 1 numbers");
  expect_refused(with_entry(R"({"dtype": "F32", "shape": [1], "data_offsets": [0, 1, 4]})", "1234"), ErrorCode::limit,
                 "'a': data_offsets: got 3");
}

TEST(SafetensorsTest, ShapesThatAreNone) {
  const auto shaped = [](const std::string& shape) {
    return with_entry(R"({"dtype": "F32", "data_offsets": [0, 4], "shape": )" + shape + "}", "1234");
  };
  expect_refused(shaped("[-1]"), ErrorCode::value, "'a': shape: got -1, allowed integers 0..");
  expect_refused(shaped("[1.0]"), ErrorCode::value, "'a': shape: got 1.0");
  expect_refused(shaped("[\"1\"]"), ErrorCode::value, "'a': shape: got \"1\"");
  expect_refused(shaped("[NaN]"), ErrorCode::value, "'a': shape: got ");
  expect_refused(shaped("[2]"), ErrorCode::shape, "'a': (2,) of float32 needs 8 bytes, data_offsets give 4");
  expect_refused(shaped("[18446744073709551615]"), ErrorCode::overflow, "'a': shape: 18446744073709551615 does not fit");
  expect_refused(shaped("[4294967296, 4294967296]"), ErrorCode::overflow, "'a': shape: ");
  expect_refused(shaped("[4611686018427387905]"), ErrorCode::shape,
                 "'a': (4611686018427387905,) of float32 needs too many bytes");
  expect_refused(shaped("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), ErrorCode::limit, "'a': shape: got 17 numbers");
}

TEST(SafetensorsTest, PlacesOutsideTheFileOrShared) {
  const auto placed = [](const std::string& offsets) {
    return with_entry(R"({"dtype": "F32", "shape": [1], "data_offsets": )" + offsets + "}", "1234");
  };
  expect_refused(placed("[4, 8]"), ErrorCode::value, "'a': data_offsets: got 4 to 8, the file has 4 bytes");
  expect_refused(placed("[4, 0]"), ErrorCode::value, "'a': data_offsets: got 4 to 0");
  expect_refused(placed("[18446744073709551612, 18446744073709551615]"), ErrorCode::value,
                 "'a': data_offsets: got 18446744073709551612");
  expect_refused(placed("[-4, 0]"), ErrorCode::value, "'a': data_offsets: got -4");
  const auto two = [](const std::string& second, const std::string& data) {
    return with_header(R"({"a": )" + kOne + R"(, "b": {"dtype": "F32", "shape": [1], "data_offsets": )" + second + "}}", data);
  };
  expect_refused(two("[0, 4]", "1234"), ErrorCode::unsafe, "'b': its elements begin at byte 0, allowed is 4");
  expect_refused(two("[2, 6]", "123456"), ErrorCode::unsafe, "'b': its elements begin at byte 2, allowed is 4");
  expect_refused(two("[5, 9]", "123456789"), ErrorCode::unsafe, "'b': its elements begin at byte 5, allowed is 4");
}

TEST(SafetensorsTest, IsKnownByItsContent) {
  const std::string file = with_entry(kOne, "1234");
  const auto looks = [](const std::string& head, std::uint64_t size) {
    return looks_like_safetensors(std::as_bytes(std::span(head)), size);
  };
  EXPECT_TRUE(looks(file, file.size()));
  EXPECT_TRUE(looks(file.substr(0, 9), file.size()));
  EXPECT_FALSE(looks(file, 20));
  EXPECT_FALSE(looks(file.substr(0, 8), file.size()));
  EXPECT_FALSE(looks(std::string(16, '{'), 16));
  EXPECT_FALSE(looks("", 0));
}

}  // namespace
}  // namespace lamella::keras
