// SPDX-License-Identifier: Apache-2.0
// Predicts N times with a tiny model: soak [--predicts N]. Memory, descriptors and threads must not grow over the last nine
// tenths of the run, and the answers must keep the same bits.
#include <dirent.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <lamella/lamella.hpp>
#include <string>
#include <utility>
#include <vector>

namespace lamella {
namespace {

constexpr int kSamples = 20;

struct Usage {
  long resident_kib = 0;
  long descriptors = 0;
  long threads = 0;
};

long entries(const char* path) {
  DIR* folder = ::opendir(path);
  if (folder == nullptr) return -1;
  long count = -2;  // do not count . and ..
  while (::readdir(folder) != nullptr) ++count;
  static_cast<void>(::closedir(folder));
  return count;
}

Usage usage() {
  Usage now;
  long size = 0;
  long resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &size, &resident) != 2) std::abort();
  static_cast<void>(std::fclose(file));
  now.resident_kib = resident * (::getpagesize() / 1024);
  now.descriptors = entries("/proc/self/fd");
  now.threads = entries("/proc/self/task");
  return now;
}

std::vector<float> values_of(const Tensor& tensor) {
  const auto span = tensor.span<float>();
  return {span.begin(), span.end()};
}

/// Predictions of several sizes, every thousandth with a new activation, and now and then a call that fails.
class Work {
 public:
  explicit Work(const std::string& path) : model_(Model::load(path, {.device = Device::cpu(), .threads = 1})) {
    std::vector<std::int64_t> extents = model_.input_shape();
    extents.insert(extents.begin(), 2);
    x_ = Tensor::zeros(Shape(extents));
    float value = -1.0F;
    for (float& element : x_.span<float>()) element = value += 0.125F;
    y_ = model_.predict(x_);
    wanted_ = values_of(y_);
  }

  /// Returns false if an answer differs.
  bool step(long number) {
    model_.predict_into(x_, y_);
    if (std::memcmp(std::as_const(y_).data(), wanted_.data(), y_.bytes()) != 0) return false;
    if (number % 1000 == 0) {
      Model copy = model_;
      copy.set_activation(copy.layers().back().name, number % 2000 == 0 ? "tanh" : "relu");
      static_cast<void>(copy.predict(x_));
      std::vector<std::int64_t> extents(x_.shape().extents().begin(), x_.shape().extents().end());
      extents[0] = number / 1000 % 50;
      static_cast<void>(model_.predict(Tensor::zeros(Shape(extents))));
    }
    if (number % 5000 != 0) return true;
    try {
      static_cast<void>(model_.predict(Tensor::zeros(Shape{1, 2, 3, 4, 5})));
      return false;
    } catch (const ArgumentError&) {
      return true;
    }
  }

 private:
  Model model_;
  Tensor x_;
  Tensor y_;
  std::vector<float> wanted_;
};

int run(const std::string& path, long predicts) {
  constexpr long kSlackKib = 1024;  // memory that an allocator may keep
  Work work(path);
  Usage first;
  Usage last;
  for (int sample = 0; sample < kSamples; ++sample) {
    for (long i = predicts * sample / kSamples; i < predicts * (sample + 1) / kSamples; ++i) {
      if (!work.step(i)) {
        std::printf("another answer at prediction %ld\n0 passed, 1 failed\n", i);
        return 1;
      }
    }
    last = usage();
    if (sample == kSamples / 10 - 1) first = last;
    std::printf("%ld predictions: %ld KiB, %ld descriptors, %ld threads\n", predicts * (sample + 1) / kSamples, last.resident_kib,
                last.descriptors, last.threads);
  }
  const bool memory = last.resident_kib <= first.resident_kib + kSlackKib;
  const bool descriptors = last.descriptors == first.descriptors;
  const bool threads = last.threads == first.threads;
  if (!memory) std::printf("memory grew from %ld to %ld KiB\n", first.resident_kib, last.resident_kib);
  if (!descriptors) std::printf("descriptors grew from %ld to %ld\n", first.descriptors, last.descriptors);
  if (!threads) std::printf("threads grew from %ld to %ld\n", first.threads, last.threads);
  const int passed = 1 + (memory ? 1 : 0) + (descriptors ? 1 : 0) + (threads ? 1 : 0);
  std::printf("%d passed, %d failed\n", passed, 4 - passed);
  return passed == 4 ? 0 : 1;
}

}  // namespace
}  // namespace lamella

int main(int count, char** values) {
  long predicts = 1'000'000;
  for (int i = 1; i + 1 < count; i += 2) {
    if (std::strcmp(values[i], "--predicts") == 0) predicts = std::strtol(values[i + 1], nullptr, 10);
  }
  try {
    return lamella::run(LAMELLA_FIXTURES "/keras3/dense/model.keras", predicts);
  } catch (const std::exception& error) {
    std::printf("%s\n0 passed, 1 failed\n", error.what());
    return 1;
  }
}
