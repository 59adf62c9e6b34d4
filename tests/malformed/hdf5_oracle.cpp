// SPDX-License-Identifier: Apache-2.0
// Compares the HDF5 reader with libhdf5. Usage: hdf5_oracle FILE, which holds HDF5 files and their contents as read by h5py,
// written by oracle.py.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "keras/hdf5/hdf5.hpp"

namespace lamella::keras {
namespace {

/// Reads the oracle's format: numbers, texts and arrays, one after another.
class Reader {
 public:
  explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] bool at_end() const { return at_ == bytes_.size(); }
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);
    return value;
  }
  std::string text(std::size_t width = 2) { return take(number(width)); }
  std::string take(std::size_t size) {
    std::string result = bytes_.substr(at_, size);
    if (result.size() != size) std::abort();
    at_ += size;
    return result;
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

/// Describes what is wrong with a dataset, attribute or group; empty if nothing is.
std::string check_dataset(const H5File& file, const std::string& path, Reader& reader) {
  const std::string dtype = reader.text();
  std::vector<std::int64_t> extents;
  for (std::uint64_t rank = reader.number(1); rank > 0; --rank) extents.push_back(static_cast<std::int64_t>(reader.number(8)));
  const std::string bytes = reader.text(4);
  const H5Dataset found = file.dataset(path);
  if (to_string(found.dtype) != dtype) return "dtype " + std::string(to_string(found.dtype)) + ", libhdf5 reads " + dtype;
  if (found.shape != Shape(extents)) return "shape " + to_string(found.shape) + ", libhdf5 reads " + to_string(Shape(extents));
  return as_text(found.bytes.bytes) == bytes ? "" : "other elements than libhdf5 reads";
}

std::string check_attribute(const H5File& file, const std::string& path, Reader& reader) {
  const std::string attribute = reader.text();
  std::vector<std::string> wanted(reader.number(4));
  for (std::string& item : wanted) item = reader.text(4);
  const auto found = file.strings_attribute(path, attribute);
  if (!found) return "no attribute '" + attribute + "'";
  return *found == wanted ? "" : "attribute '" + attribute + "' has other strings than libhdf5 reads";
}

std::string check_group(const H5File& file, const std::string& path, Reader& reader) {
  std::vector<std::string> wanted(reader.number(4));
  for (std::string& item : wanted) item = reader.text();
  return file.children(path) == wanted ? "" : "other members than libhdf5 lists";
}

std::string check(const H5File& file, Reader& reader) {
  const std::uint64_t kind = reader.number(1);
  const std::string path = reader.text();
  try {
    const std::string why = kind == 1   ? check_dataset(file, path, reader)
                            : kind == 2 ? check_attribute(file, path, reader)
                                        : check_group(file, path, reader);
    return why.empty() ? why : path + ": " + why;
  } catch (const LoadError& error) {
    return error.what();
  }
}

OwnedBytes owned(const std::string& text) {
  const Buffer buffer(text.size());
  std::memcpy(buffer.data, text.data(), text.size());
  return buffer.freeze();
}

int run(const char* path) {
  std::ifstream in(path, std::ios::binary);
  Reader reader(std::string(std::istreambuf_iterator<char>(in), {}));
  std::size_t passed = 0;
  std::size_t failed = 0;
  while (!reader.at_end()) {
    const std::string name = reader.text();
    const H5File file(owned(reader.text(4)), Where(name));
    for (std::uint64_t left = reader.number(4); left > 0; --left) {
      const std::string why = check(file, reader);
      ++(why.empty() ? passed : failed);
      if (!why.empty()) std::printf("FAILED %s: %s\n", name.c_str(), why.c_str());
    }
  }
  std::printf("%zu passed, %zu failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace lamella::keras

int main(int count, char** values) {
  try {
    return count == 2 ? lamella::keras::run(values[1]) : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
