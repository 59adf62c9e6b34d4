// SPDX-License-Identifier: Apache-2.0
// npz archives: those that were written are read again. The fixtures are archives that numpy wrote, and in tests/conformance
// numpy reads ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <lamella/error.hpp>
#include <lamella/npy.hpp>

#include "keras/zip/writer.hpp"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;

class NpzTest : public ::testing::Test {
 protected:
  NpzTest() { std::filesystem::create_directories(folder_); }
  ~NpzTest() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] std::string bytes(const std::string& name) const {
    std::ifstream stream(file(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  [[nodiscard]] bool is_empty() const { return std::filesystem::is_empty(folder_); }

 private:
  std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) / ("npz_test_" + std::to_string(::getpid()));
};

TEST_F(NpzTest, ReadsBackWhatItWrote) {
  std::map<std::string, Tensor> arrays;
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{7}, Shape{127, 3}, Shape{2, 3, 5}}) {
    for (const DType dtype : {DType::float32, DType::float16, DType::float64, DType::boolean, DType::int8, DType::uint64}) {
      Tensor x(shape, DType::float64);
      double next = 0.5;
      for (double& value : x.span<double>()) value = next += 0.75;
      arrays.emplace("a/b " + std::to_string(arrays.size()) + " \xC3\xA4", x.to(dtype));
    }
  }
  save_npz(file("a.npz"), {arrays.begin(), arrays.end()});
  const auto back = load_npz(file("a.npz"));
  ASSERT_EQ(back.size(), arrays.size());
  for (const auto& [name, x] : arrays) {
    const Tensor& y = back.at(name);
    ASSERT_EQ(y.dtype(), x.dtype()) << name;
    ASSERT_EQ(y.shape(), x.shape()) << name;
    EXPECT_TRUE(x.bytes() == 0 || std::memcmp(std::as_const(y).data(), std::as_const(x).data(), x.bytes()) == 0) << name;
  }
}

TEST_F(NpzTest, TheSameArraysGiveTheSameBytes) {
  const Tensor x = Tensor::zeros({3});
  save_npz(file("a.npz"), {{"x", x}, {"y", x}});
  save_npz(file("b.npz"), {{"y", x}, {"x", x}});
  EXPECT_EQ(bytes("a.npz"), bytes("b.npz"));
}

TEST_F(NpzTest, AnEmptyArchiveIsOne) {
  save_npz(file("a.npz"), {});
  EXPECT_TRUE(load_npz(file("a.npz")).empty());
}

TEST_F(NpzTest, WritesBfloat16AsFloat32) {
  save_npz(file("a.npz"), {{"x", Tensor::zeros({3}, DType::bfloat16)}});
  EXPECT_EQ(load_npz(file("a.npz")).at("x").dtype(), DType::float32);
}

TEST_F(NpzTest, RefusesNamesThatAnArchiveCannotHave) {
  const Tensor x = Tensor::zeros({3});
  for (const std::string& name :
       {std::string("/a"), std::string("a\\b"), std::string("../a"), std::string("a\0b", 3), std::string(1021, 'a')}) {
    try {
      save_npz(file("a.npz"), {{"first", x}, {name, x}});
      ADD_FAILURE() << name << " was written";
    } catch (const ArgumentError& error) {
      EXPECT_EQ(error.code(), ErrorCode::value);
    }
  }
  EXPECT_TRUE(is_empty());
}

TEST_F(NpzTest, RefusesMembersThatAreNotArrays) {
  const std::string text = "text";
  const keras::Bytes part = std::as_bytes(std::span(text));
  for (const std::string name : {"notes.txt", "array.npy"}) {
    keras::ArchiveWriter archive(file("a.npz"));
    archive.add(name, {&part, 1});
    archive.finish();
    try {
      (void)load_npz(file("a.npz"));
      ADD_FAILURE() << name << " was read";
    } catch (const LoadError& error) {
      EXPECT_THAT(error.what(), HasSubstr("a.npz!" + name));
    }
  }
  EXPECT_THROW((void)load_npz(file("absent.npz")), LoadError);
  std::ofstream(file("b.npz")) << "no zip archive, though it is called one";
  EXPECT_THROW((void)load_npz(file("b.npz")), LoadError);
}

TEST_F(NpzTest, WithoutItsEndNothingIsWritten) {
  {
    keras::ArchiveWriter archive(file("a.npz"));
    archive.add("x.npy", {});
  }
  EXPECT_TRUE(is_empty());
}

}  // namespace
}  // namespace lamella
