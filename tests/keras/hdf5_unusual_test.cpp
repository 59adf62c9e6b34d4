// SPDX-License-Identifier: Apache-2.0
// HDF5 files that other programs may write, but Keras does not: narrow addresses, resizable datasets, unwritten elements.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "keras/hdf5/hdf5.hpp"
#include "keras/refused.hpp"

namespace lamella {
namespace {

using test::refusal;

using ::testing::ElementsAre;
using ::testing::HasSubstr;

keras::H5File data_file(const std::string& name) {
  return {keras::FileBytes(std::string(LAMELLA_SOURCE_DIR "/tests/keras/data/") + name).contents(), keras::Where(name)};
}

std::vector<float> floats(const keras::H5File& file, const std::string& path) {
  const keras::H5Dataset data = file.dataset(path);
  EXPECT_EQ(data.dtype, DType::float32);
  const auto* first = reinterpret_cast<const float*>(data.bytes.bytes.data());
  return {first, first + data.shape.elements()};
}

std::vector<float> rule(int count) {
  std::vector<float> result;
  for (int i = 0; i < count; ++i) result.push_back(static_cast<float>(i * 7 % 101 - 50));
  return result;
}

TEST(UnusualHdf5, AddressesAndLengthsOfTwoAndFourBytesAreRead) {
  for (const char* name : {"narrow2.h5", "narrow4.h5"}) {
    SCOPED_TRACE(name);
    const keras::H5File file = data_file(name);
    EXPECT_THAT(*file.strings_attribute("/", "list"), ElementsAre("dense", "", "a longer name"));
    EXPECT_EQ(floats(file, "a/b"), rule(15));
    EXPECT_EQ(floats(file, "chunks"), rule(28));
  }
}

TEST(UnusualHdf5, ChunksOfResizableDatasetsAreNumberedByTheMaximumShape) {
  const keras::H5File file = data_file("growing.h5");
  for (const char* name : {"array", "packed", "early"}) EXPECT_EQ(floats(file, name), rule(28)) << name;
}

TEST(UnusualHdf5, UnwrittenElementsAreTheFillValueOrRefused) {
  const keras::H5File file = data_file("unwritten.h5");
  for (const char* kind : {"", " chunks"}) {
    EXPECT_EQ(floats(file, std::string("default") + kind), std::vector<float>(5, 0.0F));
    EXPECT_EQ(floats(file, std::string("given") + kind), std::vector<float>(5, 2.5F));
    EXPECT_THAT(refusal(ErrorCode::missing, [&] { static_cast<void>(file.dataset(std::string("never") + kind)); }),
                HasSubstr("never written"));
  }
}

}  // namespace
}  // namespace lamella
