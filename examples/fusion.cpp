// SPDX-License-Identifier: Apache-2.0
// What fusing bias and activation into the product buys on this machine. Usage: fusion MODEL [ROWS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <lamella/model.hpp>
#include <random>
#include <vector>

namespace {

/// Microseconds a call.
double time_us(const lamella::Model& model, const lamella::Tensor& x, lamella::Tensor& y) {
  constexpr int kCalls = 10;
  const auto begin = std::chrono::steady_clock::now();
  for (int c = 0; c < kCalls; ++c) model.predict_into(x, y);
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / kCalls;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fusion MODEL [ROWS]\n");
    return 2;
  }
  try {
    lamella::Options unfused;
    unfused.fusion = lamella::Fusion::none;
    const lamella::Model fused_model = lamella::Model::load(argv[1]);
    const lamella::Model unfused_model = lamella::Model::load(argv[1], unfused);
    std::vector<std::int64_t> shape = fused_model.input_shape();
    shape.insert(shape.begin(), argc > 2 ? std::atoll(argv[2]) : 256);
    lamella::Tensor x{lamella::Shape(shape)};
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& v : x.span<float>()) v = normal(random);
    lamella::Tensor y = fused_model.predict(x);
    double fused = time_us(fused_model, x, y);
    double separate = time_us(unfused_model, x, y);
    for (int i = 0; i < 100; ++i) {  // the best of each, in turns: what else the machine does is no part of it
      fused = std::min(fused, time_us(fused_model, x, y));
      separate = std::min(separate, time_us(unfused_model, x, y));
    }
    std::printf("%lld rows: fused %.1f us, unfused %.1f us a call: %.2f times as fast\n", static_cast<long long>(shape[0]), fused,
                separate, separate / fused);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fusion: %s\n", error.what());
    return 1;
  }
}
