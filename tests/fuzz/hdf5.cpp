// SPDX-License-Identifier: Apache-2.0
// The HDF5 reader: reads every group, dataset and attribute that can be reached. The mutator repairs checksums, so that the code
// after their check is reached too.
#include "keras/hdf5/hdf5.hpp"

#include <array>
#include <vector>

#include "fuzz.hpp"
#include "keras/hdf5/checksum.hpp"

using namespace lamella;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

constexpr int kMostObjects = 200;

void read_attributes(const keras::H5File& file, const std::string& path) {
  for (const char* name :
       {"name", "dtype", "layer_names", "weight_names", "keras_version", "model_config", "one", "list", "variable list"}) {
    fuzz::survives([&] { static_cast<void>(file.strings_attribute(path, name)); });
  }
}

void read_dataset(const keras::H5File& file, const std::string& path) {
  fuzz::survives([&] {
    const keras::H5Dataset data = file.dataset(path);
    fuzz::expect(static_cast<std::size_t>(data.shape.elements()) * size_of(data.dtype) == data.bytes.bytes.size(),
                 "bytes that do not fit the shape");
    std::uint64_t sum = 0;
    for (const std::byte b : data.bytes.bytes) sum += std::to_integer<std::uint64_t>(b);
    fuzz::expect(sum < UINT64_MAX, "an endless sum");  // every byte has been read
    const keras::H5Dataset again = file.dataset(path);
    fuzz::expect(again.shape == data.shape && again.dtype == data.dtype, "a shape that changes");
  });
}

void put_sum(std::uint8_t* data, std::size_t size, std::size_t begin, std::size_t length) {
  if (begin > size || length + 4 > size - begin) return;
  const std::uint32_t sum = keras::hdf5::lookup3(std::as_bytes(std::span(data + begin, length)));
  std::memcpy(data + begin + length, &sum, sizeof sum);
}

/// An object header's bytes up to its checksum; 0 when it does not fit.
std::size_t header_length(const std::uint8_t* data, std::size_t left) {
  if (left < 32) return 0;
  const unsigned flags = data[5];
  const std::size_t at = 6 + ((flags & 0x20U) != 0 ? 16U : 0U) + ((flags & 0x10U) != 0 ? 4U : 0U);
  std::uint64_t chunk = 0;
  std::memcpy(&chunk, data + at, std::size_t{1} << (flags & 3U));
  return chunk < left ? at + (std::size_t{1} << (flags & 3U)) + chunk : 0;
}

void mend(std::uint8_t* data, std::size_t size) {
  if (size > 48 && (data[8] == 2 || data[8] == 3)) put_sum(data, size, 0, 44);
  for (std::size_t i = 0; i + 4 <= size; ++i) {
    const std::string_view magic(reinterpret_cast<const char*>(data + i), 4);
    if (magic == "OHDR") put_sum(data, size, i, header_length(data + i, size - i));
    if (magic == "FRHP") put_sum(data, size, i, 142);
    if (magic == "BTHD") put_sum(data, size, i, 34);
    if (magic == "FAHD") put_sum(data, size, i, 24);
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  const std::size_t result = LLVMFuzzerMutate(data, size, most);
  if (seed % 8 != 0) mend(data, result);
  return result;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::survives([&] {
    const keras::H5File file(fuzz::owned(data, size), keras::Where("fuzz.h5"));
    std::vector<std::string> open{""};
    for (int seen = 0; !open.empty() && seen < kMostObjects; ++seen) {
      const std::string path = std::move(open.back());
      open.pop_back();
      fuzz::survives([&] {
        read_attributes(file, path);
        if (file.has_dataset(path)) return read_dataset(file, path);
        if (!file.has_group(path)) return;
        for (const std::string& name : file.children(path)) open.push_back(path + "/" + name);
      });
    }
  });
  return 0;
}
