// SPDX-License-Identifier: Apache-2.0
// Loads a whole file through the public interface, and predicts if it is accepted. An input that begins with '=' holds the length
// of a config, the config, and the weights; it is first packed into an archive with correct checksums.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <lamella/model.hpp>

#include <algorithm>

#include "fuzz.hpp"
#include "keras/zip/crc32.hpp"

using namespace lamella;

namespace {

constexpr std::int64_t kMostElements = 1 << 16;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i, value >>= 8U) out += static_cast<char>(value & 0xFFU);
}

void add_member(std::string& file, std::string& directory, std::string_view name, std::string_view bytes) {
  const std::size_t at = file.size();
  std::string common;
  put(common, 20, 2);
  put(common, 0, 8);
  put(common, keras::crc32(std::as_bytes(std::span(bytes))), 4);
  put(common, bytes.size(), 4);
  put(common, bytes.size(), 4);
  put(common, name.size(), 2);
  put(common, 0, 2);
  put(file, 0x04034B50U, 4);
  file.append(common).append(name).append(bytes);
  put(directory, 0x02014B50U, 4);
  put(directory, 20, 2);
  directory.append(common);
  put(directory, 0, 10);
  put(directory, at, 4);
  directory.append(name);
}

std::string packed(std::string_view config, std::string_view weights) {
  std::string file;
  std::string directory;
  add_member(file, directory, "config.json", config);
  add_member(file, directory, "model.weights.h5", weights);
  const std::size_t at = file.size();
  file += directory;
  put(file, 0x06054B50U, 4);
  put(file, 0, 4);
  put(file, 2, 2);
  put(file, 2, 2);
  put(file, directory.size(), 4);
  put(file, at, 4);
  put(file, 0, 2);
  return file;
}

std::string file_of(std::string_view input) {
  if (input.size() < 5 || input[0] != '=') return std::string(input);
  std::uint32_t length = 0;
  std::memcpy(&length, input.data() + 1, sizeof length);
  input.remove_prefix(5);
  const std::size_t config = std::min<std::size_t>(length, input.size());
  return packed(input.substr(0, config), input.substr(config));
}

/// A file in memory, rewritten for each input.
class MemoryFile {
 public:
  MemoryFile() : file_(::memfd_create("fuzz", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(file_)) {}
  void write(const std::string& bytes) const {
    fuzz::expect(::ftruncate(file_, 0) == 0, "ftruncate");
    fuzz::expect(::pwrite(file_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()), "pwrite");
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  int file_;
  std::string path_;
};

void predict(const Model& model) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < model.input_names().size(); ++i) {
    std::vector<std::int64_t> extents = model.input_shape(static_cast<int>(i));
    extents.insert(extents.begin(), 2);
    std::int64_t elements = 1;
    for (std::int64_t& extent : extents) {
      extent = extent < 0 ? 3 : extent;
      if (extent > kMostElements || (elements *= std::max<std::int64_t>(extent, 1)) > kMostElements) return;
    }
    inputs.push_back(Tensor::zeros(Shape(extents)));
  }
  const std::vector<TensorView> views(inputs.begin(), inputs.end());
  static_cast<void>(model.predict(views));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const MemoryFile file;
  file.write(file_of({reinterpret_cast<const char*>(data), size}));
  try {
    fuzz::survives([&] {
      const Model model = Model::load(file.path(), {.device = Device::cpu(), .threads = 1});
      static_cast<void>(model.summary());
      predict(model);
    });
  } catch (const std::bad_alloc&) {
    // A model may need more memory than there is; the library throws and remains usable.
  }
  return 0;
}
