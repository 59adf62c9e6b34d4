// SPDX-License-Identifier: Apache-2.0
#include <lamella/npy.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <lamella/error.hpp>
#include <vector>

namespace lamella {
namespace {

std::string file_of(const std::string& header, const std::string& data, char major = 1) {
  std::string text =
      std::string("\x93NUMPY") + major + '\0' + static_cast<char>(header.size() & 255U) + static_cast<char>(header.size() >> 8U);
  if (major > 1) text += std::string(2, '\0');
  return text + header + data;
}
std::string header_of(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }\n";
}
Tensor parse(const std::string& text) { return parse_npy(std::as_bytes(std::span(text.data(), text.size())), "x.npy"); }
template <typename T>
std::vector<T> values_of(const Tensor& tensor) {
  const auto span = tensor.span<T>();
  return {span.begin(), span.end()};
}

class NpyFileTest : public testing::Test {
 protected:
  NpyFileTest() { std::filesystem::create_directories(folder_); }
  ~NpyFileTest() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) / ("npy_test_" + std::to_string(::getpid()));
};

TEST_F(NpyFileTest, ReadsBackWhatItWrote) {
  const std::string path = folder_ / "a.npy";
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{3}, Shape{127, 3}, Shape{2, 3, 5}}) {
    for (const DType dtype : {DType::float32, DType::float16, DType::float64, DType::boolean, DType::int8, DType::int16,
                              DType::int32, DType::int64, DType::uint8, DType::uint16, DType::uint32, DType::uint64}) {
      Tensor wide(shape, DType::float64);
      double next = 0;
      for (double& x : wide.span<double>()) x = next++;
      save_npy(path, wide.to(dtype));
      const Tensor back = load_npy(path);
      EXPECT_EQ(back.dtype(), dtype);
      EXPECT_EQ(back.shape(), shape);
      EXPECT_EQ(values_of<double>(back.to(DType::float64)), values_of<double>(wide.to(dtype).to(DType::float64)));
    }
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "something was left beside the file";
}

TEST_F(NpyFileTest, WritesBfloat16AsFloat32) {
  save_npy(folder_ / "b.npy", Tensor::zeros({3}, DType::bfloat16));
  EXPECT_EQ(load_npy(folder_ / "b.npy").dtype(), DType::float32);
}

TEST_F(NpyFileTest, RefusesIrregularFilesAndLeavesNothingBehind) {
  EXPECT_THROW(static_cast<void>(load_npy(folder_)), LoadError);
  EXPECT_THROW(static_cast<void>(load_npy(folder_ / "absent.npy")), LoadError);
  EXPECT_THROW(static_cast<void>(load_npy("/dev/zero")), LoadError);
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THROW(static_cast<void>(load_npy(fifo)), LoadError);
  std::filesystem::create_directory(folder_ / "taken");
  EXPECT_THROW(save_npy(folder_ / "taken", Tensor::zeros({3})), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
}

TEST(NpyTest, ReadsEveryVersionAndBothByteOrders) {
  for (const char major : {'\1', '\2', '\3'}) {
    EXPECT_EQ(
        values_of<std::int32_t>(parse(file_of(header_of(">i4", "(2,)"), std::string("\0\0\1\2\xff\xff\xff\xfe", 8), major))),
        (std::vector<std::int32_t>{258, -2}));
  }
  EXPECT_EQ(values_of<float>(parse(file_of(header_of(">f4", "()"), std::string("\x3f\xc0\0\0", 4)))), std::vector<float>{1.5F});
  EXPECT_EQ(values_of<std::uint8_t>(parse(file_of(header_of(">u1", "(2,)"), "\1\2"))), (std::vector<std::uint8_t>{1, 2}));
  EXPECT_EQ(values_of<float>(parse(file_of(header_of("=f4", "(1,)", true), std::string("\0\0\xc0\x3f", 4)))),
            std::vector<float>{1.5F});
  EXPECT_EQ(values_of<bool>(parse(file_of(header_of("|b1", "(3,)"), std::string("\0\1\2", 3)))),
            (std::vector<bool>{false, true, true}));
}

TEST(NpyTest, ReadsHeadersInEverySpellingOfPython) {
  const std::string data(4, '\0');
  for (const char* header : {"{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (1,)}",
                             "\t{ 'shape' :\n(1L,) ,'fortran_order':True,'descr':'<f4'} ",
                             "{'descr':'<f4','fortran_order':False,'shape':(1 , ),}\n"}) {
    EXPECT_EQ(parse(file_of(header, data)).shape(), Shape{1}) << header;
  }
}

TEST(NpyTest, TurnsFortranOrderIntoCOrder) {
  EXPECT_EQ(values_of<std::int8_t>(parse(file_of(header_of("|i1", "(2, 3)", true), std::string("\0\3\1\4\2\5", 6)))),
            (std::vector<std::int8_t>{0, 1, 2, 3, 4, 5}));
}

TEST(NpyTest, KeepsEveryBitOfWideIntegers) {
  EXPECT_EQ(values_of<std::int16_t>(parse(file_of(header_of("<i2", "(1,)"), "\xfe\xff"))), std::vector<std::int16_t>{-2});
  EXPECT_EQ(values_of<std::uint16_t>(parse(file_of(header_of(">u2", "(1,)"), "\xff\xfe"))), std::vector<std::uint16_t>{65534});
  EXPECT_EQ(values_of<std::uint32_t>(parse(file_of(header_of("<u4", "(1,)"), std::string(4, '\xff')))),
            std::vector<std::uint32_t>{4294967295U});
  EXPECT_EQ(values_of<std::int64_t>(parse(file_of(header_of("<i8", "(1,)"), std::string("\1\0\0\0\0\0\x20\0", 8)))),
            std::vector<std::int64_t>{(std::int64_t{1} << 53) + 1});
  EXPECT_EQ(values_of<std::uint64_t>(parse(file_of(header_of("<u8", "(1,)"), std::string(8, '\xff')))),
            std::vector<std::uint64_t>{~std::uint64_t{0}});
}

TEST(NpyTest, RefusesDamagedHeadersAndForeignTypes) {
  const std::string good = file_of(header_of("<f4", "(1,)"), std::string(4, '\0'));
  EXPECT_EQ(parse(good).shape(), Shape{1});
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_THROW(static_cast<void>(parse(good.substr(0, length))), LoadError) << length;
  }
  EXPECT_THROW(static_cast<void>(parse(good + "x")), LoadError);
  EXPECT_THROW(static_cast<void>(parse(file_of(header_of("<f4", "(1,)"), std::string(4, '\0'), 4))), LoadError);
  EXPECT_THROW(static_cast<void>(parse(file_of(header_of("<f4", "(1,)"), std::string(4, '\0'), 0))), LoadError);
  std::string other = good;
  other[7] = 1;  // version 1.1
  EXPECT_THROW(static_cast<void>(parse(other)), LoadError);
  EXPECT_THROW(static_cast<void>(parse(std::string("\x93NUMPY\2\0\x76\0", 10))), LoadError);
  EXPECT_THROW(static_cast<void>(parse(std::string("\x93NUMPY\2\0\1\0\1\0", 12) + std::string(65537, ' '))), LoadError);
  for (const char* descr : {"|O", "<c8", "<U3", "f4", "<f16", "|f4", "", "<V2"}) {
    EXPECT_THROW(static_cast<void>(parse(file_of(header_of(descr, "(1,)"), std::string(4, '\0')))), LoadError) << descr;
  }
  for (const char* shape : {"(-1,)", "(9223372036854775808,)", "(4611686018427387904, 4)", "[1]", "(1.0,)", "1", "((1,),)", "(1",
                            "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)", "(4611686018427387904,)"}) {
    EXPECT_THROW(static_cast<void>(parse(file_of(header_of("<f4", shape), std::string(4, '\0')))), LoadError) << shape;
  }
  for (const char* header : {"", "{}", "{'descr': '<f4'}", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "{'descr': '<f4', 'fortran_order': False}",
                             "{'descr': '<f4', 'shape': (1,)}", "{'shape': (1,), 'fortran_order': False}",
                             "{'fortran_order': False, 'fortran_order': False, 'descr': '<f4', 'shape': (1,)}",
                             "{'shape': (1,), 'shape': (1,), 'fortran_order': False, 'descr': '<f4'}", "{'descr",
                             "{descr: '<f4'}", "{'descr': <f4}", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x"}) {
    EXPECT_THROW(static_cast<void>(parse(file_of(header, std::string(4, '\0')))), LoadError) << header;
  }
}

}  // namespace
}  // namespace lamella
