// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/hdf5.hpp"

#include <gmock/gmock.h>

#include <cstring>
#include <random>

#include "core/check.hpp"
#include "effort.hpp"

namespace lamella::keras {
namespace {

const std::string kData = LAMELLA_SOURCE_DIR "/tests/keras/data/";

OwnedBytes contents(const std::string& name) { return FileBytes(kData + name).contents(); }
H5File open(const std::string& name) { return {contents(name), Where(name)}; }

OwnedBytes owned(Bytes bytes) {
  const Buffer buffer(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data, bytes.data(), bytes.size());
  return buffer.freeze();
}

template <typename F>
ErrorCode code_of(F&& f) {
  try {
    f();
  } catch (const LoadError& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::internal;
}

template <typename T>
std::vector<double> values(const H5Dataset& data) {
  EXPECT_EQ(data.dtype, dtype_v<T>);
  EXPECT_EQ(data.bytes.bytes.size(), static_cast<std::size_t>(data.shape.elements()) * sizeof(T));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data.bytes.bytes.data()) % alignof(T), 0U);
  const auto* elements = reinterpret_cast<const T*>(data.bytes.bytes.data());
  std::vector<double> result;
  for (std::int64_t i = 0; i < data.shape.elements(); ++i) {
    if constexpr (std::is_arithmetic_v<T>) {
      result.push_back(static_cast<double>(elements[i]));
    } else {
      result.push_back(static_cast<double>(static_cast<float>(elements[i])));
    }
  }
  return result;
}

std::vector<double> rule(std::int64_t count, int shift) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(static_cast<double>(i * 7 % 101 - shift));
  return result;
}

class EachVariant : public testing::TestWithParam<const char*> {
 protected:
  H5File file_ = open(GetParam());
  template <typename T>
  void expect_rule(const std::string& path, int shift = 50) {
    SCOPED_TRACE(path);
    const H5Dataset data = file_.dataset(path);
    EXPECT_EQ(data.shape, (Shape{13, 7, 3}));
    EXPECT_EQ(values<T>(data), rule(273, shift));
  }
};

TEST_P(EachVariant, GivesEveryElementType) {
  expect_rule<float16>("/types/little f2");
  expect_rule<float>("/types/little f4");
  expect_rule<double>("/types/little f8");
  expect_rule<float16>("types/big f2");
  expect_rule<float>("types/big f4");
  expect_rule<double>("types/big f8");
  expect_rule<std::int8_t>("types/i1");
  expect_rule<std::uint8_t>("types/u1", 0);
  expect_rule<std::int16_t>("types/little i2");
  expect_rule<std::int32_t>("types/little i4");
  expect_rule<std::int64_t>("types/little i8");
  expect_rule<std::int32_t>("types/big i4");
  expect_rule<std::int64_t>("types/big i8");
  expect_rule<std::uint16_t>("types/little u2", 0);
  expect_rule<std::uint32_t>("types/little u4", 0);
  expect_rule<bfloat16>("types/brain");
  EXPECT_EQ(values<std::int64_t>(file_.dataset("types/too wide")), (std::vector<double>{1, 0x1p40}));
}

TEST_P(EachVariant, GivesOddShapesAndLayouts) {
  EXPECT_EQ(values<float>(file_.dataset("types/scalar")), std::vector<double>{2.5});
  EXPECT_EQ(file_.dataset("types/scalar").shape, Shape{});
  EXPECT_EQ(file_.dataset("types/empty").shape, (Shape{0, 4}));
  EXPECT_EQ(file_.dataset("types/null").shape, Shape{0});
  EXPECT_EQ(values<float>(file_.dataset("types/compact")), rule(9, 50));
  EXPECT_EQ(values<float>(file_.dataset("types/unstored")), std::vector<double>(15, 1.5));
  EXPECT_EQ(file_.dataset("types/boolean").shape, Shape{5});
}

TEST_P(EachVariant, RefusesTypesThatHaveNoCounterpart) {
  EXPECT_EQ(code_of([&] { static_cast<void>(file_.dataset("types/complex")); }), ErrorCode::dtype);
  EXPECT_EQ(code_of([&] { static_cast<void>(file_.dataset("types/string")); }), ErrorCode::dtype);
  EXPECT_EQ(code_of([&] { static_cast<void>(file_.dataset("types/absent")); }), ErrorCode::missing);
  EXPECT_EQ(code_of([&] { static_cast<void>(file_.dataset("types")); }), ErrorCode::hdf5);
}

TEST_P(EachVariant, AssemblesChunks) {
  for (const char* name : {"none", "one", "one gzip", "gzip", "shuffle", "fletcher", "all"})
    expect_rule<float>(core::format("chunks/{}", name));
  EXPECT_EQ(values<std::int32_t>(file_.dataset("chunks/many")), rule(1100, 50));
  EXPECT_EQ(values<float>(file_.dataset("chunks/part")), (std::vector<double>{-1, -1, -1, 8, 9, -1, -1, -1, -1, -1}));
}

TEST_P(EachVariant, FindsEveryNameInSmallAndLargeGroups) {
  EXPECT_THAT(file_.children("/"), testing::ElementsAre("chunks", "names", "types"));
  EXPECT_EQ(file_.children("names").size(), 41U);
  EXPECT_TRUE(file_.has_dataset("names/layer 39"));
  EXPECT_FALSE(file_.has_group("names/layer 39"));
  EXPECT_FALSE(file_.has_dataset("names/layer 40"));
  EXPECT_FALSE(file_.has_dataset("names/layer 3/x"));
  EXPECT_TRUE(file_.has_group("names/deep/er:0"));
  EXPECT_EQ(values<float>(file_.dataset("names/deep/er:0/größe")), rule(3, 50));
}

TEST_P(EachVariant, ReadsAttributes) {
  EXPECT_EQ(file_.string_attribute("/", "one"), "ein Wörtchen");
  EXPECT_THAT(*file_.strings_attribute("/", "list"), testing::ElementsAre("dense", "dense_1", "a longer name"));
  EXPECT_THAT(*file_.strings_attribute("/", "variable list"), testing::ElementsAre("", "b", "ccc"));
  EXPECT_THAT(*file_.strings_attribute("/", "none"), testing::IsEmpty());
  EXPECT_EQ(file_.string_attribute("/", "absent"), std::nullopt);
  EXPECT_TRUE(file_.has_attribute("/", "number"));
  EXPECT_EQ(code_of([&] { static_cast<void>(file_.string_attribute("/", "number")); }), ErrorCode::dtype);
  EXPECT_EQ(code_of([&] { static_cast<void>(file_.string_attribute("/", "list")); }), ErrorCode::shape);
  for (int i = 0; i < 30; ++i)
    EXPECT_EQ(file_.string_attribute("names", core::format("attribute {}", i)), core::format("value {}", i));
}

INSTANTIATE_TEST_SUITE_P(Files, EachVariant, testing::Values("earliest.h5", "latest.h5", "v110.h5", "userblock.h5"));

struct Hostile {
  const char* name;
  ErrorCode code;
};
void PrintTo(const Hostile& file, std::ostream* out) { *out << file.name; }
class EachHostileFile : public testing::TestWithParam<Hostile> {};
TEST_P(EachHostileFile, IsRefusedWithItsCode) {
  EXPECT_EQ(code_of([] { static_cast<void>(open(GetParam().name).dataset("x")); }), GetParam().code);
}
INSTANTIATE_TEST_SUITE_P(Files, EachHostileFile,
                         testing::Values(Hostile{"soft.h5", ErrorCode::unsafe}, Hostile{"soft_latest.h5", ErrorCode::unsafe},
                                         Hostile{"external_link.h5", ErrorCode::unsafe},
                                         Hostile{"external.h5", ErrorCode::unsafe}, Hostile{"virtual.h5", ErrorCode::unsafe},
                                         Hostile{"lzf.h5", ErrorCode::unsupported},
                                         Hostile{"resizable.h5", ErrorCode::unsupported},
                                         Hostile{"unstored.h5", ErrorCode::limit},
                                         Hostile{"unstored_chunks.h5", ErrorCode::limit}, Hostile{"bomb.h5", ErrorCode::limit}));

TEST(Hdf5Test, RefusesCyclesOfGroups) {
  const H5File file = open("cycle.h5");
  EXPECT_TRUE(file.has_group("a/b"));
  EXPECT_EQ(code_of([&] { static_cast<void>(file.has_group("a/b/back")); }), ErrorCode::hdf5);
}

TEST(Hdf5Test, ItsMessagesNameFilePathAndCode) {
  try {
    static_cast<void>(open("soft.h5").dataset("/x"));
    FAIL();
  } catch (const LoadError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::StartsWith("soft.h5:/x: "), testing::HasSubstr("soft link"),
                                             testing::EndsWith("[E_UNSAFE]")));
  }
}

/// Reads the whole file; returns whether nothing was refused.
bool walks(Bytes bytes) {
  try {
    const H5File file(owned(bytes), Where("x"));
    std::vector<std::string> open{"/"};
    for (std::size_t i = 0; i < open.size() && i < 200; ++i) {
      const std::string path = open[i];
      for (const std::string& name : file.children(path)) {
        const std::string child = core::format("{}/{}", path, name);
        if (file.has_group(child)) open.push_back(child);
        if (file.has_dataset(child)) static_cast<void>(file.dataset(child));
        static_cast<void>(file.strings_attribute(child, "name"));
      }
    }
    return true;
  } catch (const LoadError&) {
    return false;
  }
}

TEST(Hdf5Test, RefusesAFileCutOffAtAnyByte) {
  for (const char* name : {"tiny.h5", "tiny_latest.h5"}) {
    const OwnedBytes whole = contents(name);
    EXPECT_TRUE(walks(whole.bytes));
    for (std::size_t size = 0; size < whole.bytes.size(); ++size)
      EXPECT_FALSE(walks(whole.bytes.first(size))) << name << " " << size;
  }
}

TEST(Hdf5Test, SurvivesChangesOfEveryByteOfTinyFiles) {
  for (const char* name : {"tiny.h5", "tiny_latest.h5"}) {
    const OwnedBytes whole = contents(name);
    std::vector<std::byte> bytes(whole.bytes.begin(), whole.bytes.end());
    for (std::size_t at = 0; at < bytes.size(); at += test::kOneCaseOf) {
      for (const unsigned mask : {1U << (at % 8), 0xFFU}) {
        bytes[at] ^= static_cast<std::byte>(mask);
        static_cast<void>(walks(bytes));
        bytes[at] ^= static_cast<std::byte>(mask);
      }
    }
  }
}

TEST(Hdf5Test, SurvivesRandomBytesInLargeFiles) {
  std::mt19937 random(7);
  for (const char* name : {"earliest.h5", "latest.h5", "v110.h5"}) {
    const OwnedBytes whole = contents(name);
    std::vector<std::byte> bytes(whole.bytes.begin(), whole.bytes.end());
    for (unsigned i = 0; i < 300; i += test::kOneCaseOf) {
      const std::size_t at = random() % bytes.size();
      const std::byte before = bytes[at];
      bytes[at] = static_cast<std::byte>(random() & 0xFFU);
      static_cast<void>(walks(bytes));
      bytes[at] = before;
    }
  }
}

TEST(Hdf5Test, RefusesOtherSuperblocks) {
  const OwnedBytes whole = contents("tiny.h5");
  for (const auto& [at, value] :
       std::vector<std::pair<std::size_t, int>>{{8, 4}, {8, 255}, {13, 0}, {13, 16}, {14, 255}, {13, 3}, {24, 1}}) {
    std::vector<std::byte> bytes(whole.bytes.begin(), whole.bytes.end());
    bytes[at] = static_cast<std::byte>(value);
    EXPECT_EQ(code_of([&] { static_cast<void>(H5File(owned(bytes), Where("x"))); }), ErrorCode::hdf5) << at;
  }
  EXPECT_FALSE(H5File::looks_like({}));
  EXPECT_TRUE(H5File::looks_like(contents("userblock.h5").bytes));
}

}  // namespace
}  // namespace lamella::keras
