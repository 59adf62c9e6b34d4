// SPDX-License-Identifier: Apache-2.0
// Compares Model::load of a file on the CPU with reading the same bytes from the page cache and copying them once into existing
// memory, and measures the most memory resident while loading. Prints one JSON object, which bench/load collects.
// Usage: load FILE     one process per file, because peaks only grow
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <lamella/lamella.hpp>
#include <vector>

namespace {

constexpr int kRepeats = 7;

template <typename F>
double median_ms(const F& work) {
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + kRepeats / 2, times.end());
  return times[kRepeats / 2];
}

bool read_whole(const char* path, std::vector<char>& into) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  std::size_t done = 0;
  for (ssize_t got = 1; done < into.size() && got > 0; done += static_cast<std::size_t>(std::max<ssize_t>(got, 0))) {
    got = ::read(file, into.data() + done, into.size() - done);
  }
  static_cast<void>(::close(file));
  return done == into.size();
}

double peak_bytes() {
  rusage usage{};
  static_cast<void>(::getrusage(RUSAGE_SELF, &usage));
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: load FILE\n");
    return 2;
  }
  try {
    const char* path = argv[1];
    const auto size = static_cast<std::size_t>(std::filesystem::file_size(path));
    const lamella::Options options{.device = lamella::Device::cpu()};
    const double load = median_ms([&] { static_cast<void>(lamella::Model::load(path, options)); });
    const double peak = peak_bytes();
    std::vector<char> bytes(size);
    std::vector<char> copy(size);
    bool read = true;
    const double base = median_ms([&] {
      read = read_whole(path, bytes) && read;
      std::memcpy(copy.data(), bytes.data(), size);
    });
    if (!read) {
      std::fprintf(stderr, "load: %s changed while it was read\n", path);
      return 1;
    }
    std::printf("{\"bytes\": %zu, \"load_ms\": %.1f, \"read_and_copy_ms\": %.1f, \"ratio\": %.3f, \"peak_over_file\": %.3f}\n",
                size, load, base, load / base, peak / static_cast<double>(size));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 1;
  }
}
