// SPDX-License-Identifier: Apache-2.0
// Times Model::predict_into of one Keras file at given batch sizes: one line a batch size, "BATCH MEDIAN_US MIN_US SPREAD".
// Usage: latency MODEL THREADS BATCH...
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <lamella/lamella.hpp>
#include <random>
#include <vector>

namespace {

double microseconds(const lamella::Model& model, const lamella::Tensor& x, lamella::Tensor& y, int calls) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) model.predict_into(x, y);
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / calls;
}

void measure(const lamella::Model& model, std::int64_t batch) {
  std::vector<std::int64_t> shape = model.input_shape();
  shape.insert(shape.begin(), batch);
  lamella::Tensor x{lamella::Shape(shape)};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (float& v : x.span<float>()) v = normal(random);
  lamella::Tensor y = model.predict(x);
  const double once = microseconds(model, x, y, 3);
  const int calls = std::max(1, static_cast<int>(2000.0 / once));  // about 2 ms a sample
  std::vector<double> samples;
  for (int i = 0; i < 101; ++i) samples.push_back(microseconds(model, x, y, calls));
  std::sort(samples.begin(), samples.end());
  const double median = samples[50];
  std::printf("%lld %.4f %.4f %.4f\n", static_cast<long long>(batch), median, samples.front(), (samples[75] - samples[25]) / median);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: latency MODEL THREADS BATCH...\n");
    return 2;
  }
  try {
    const lamella::Model model = lamella::Model::load(argv[1], {.device = lamella::Device::cpu(), .threads = std::atoi(argv[2])});
    for (int i = 3; i < argc; ++i) measure(model, std::atoll(argv[i]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "latency: %s\n", error.what());
    return 1;
  }
}
