// SPDX-License-Identifier: Apache-2.0
// Measures the gain on this machine from fusing bias and activation into the product. Usage: fusion
// Times several stacks of Dense layers fused and unfused, then measures the one with the largest gain again, because the best of
// several measurements is biased.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <lamella/lamella.hpp>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Cell {
  std::int64_t rows;
  std::int64_t width;
  int layers;
  const char* activation;
};

/// Microseconds per call: the median and the quartiles.
struct Times {
  double low = 0;
  double median = 0;
  double high = 0;
};

Times times_of(std::vector<double>& samples) {
  std::sort(samples.begin(), samples.end());
  const auto at = [&](std::size_t part) { return samples[(samples.size() - 1) * part / 4]; };
  return {at(1), at(2), at(3)};
}

lamella::Model stack(const Cell& cell, lamella::Fusion fusion) {
  std::vector<lamella::Layer> layers;
  for (int i = 0; i < cell.layers; ++i) layers.push_back(lamella::Dense(cell.width, {.activation = cell.activation}));
  lamella::Sequential net(layers);
  net.build({cell.width}, {.seed = 7});
  lamella::Options options;
  options.device = lamella::Device::cpu();
  options.fusion = fusion;
  return net.compile(options);
}

/// Measures fused and unfused in turns, so that both see the same load of the machine.
class Pair {
 public:
  explicit Pair(const Cell& cell)
      : cell_(cell),
        models_{stack(cell, lamella::Fusion::automatic), stack(cell, lamella::Fusion::none)},
        x_({cell.rows, cell.width}) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& value : x_.span<float>()) value = normal(random);
    for (const lamella::Model& model : models_) y_.push_back(model.predict(x_));
  }

  void measure(double seconds) {
    std::vector<double> samples[2];
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    for (int turn = 0; Clock::now() < end || samples[0].size() < 9; ++turn) {
      for (const int which : {turn % 2, 1 - turn % 2}) samples[which].push_back(sample(which));
    }
    std::vector<double> ratios;
    for (std::size_t i = 0; i < samples[0].size(); ++i) ratios.push_back(samples[1][i] / samples[0][i]);
    rounds_ = ratios.size();
    won_ = static_cast<double>(std::count_if(ratios.begin(), ratios.end(), [](double r) { return r > 1; })) /
           static_cast<double>(rounds_);
    ratio_ = times_of(ratios);
    fused_ = times_of(samples[0]);
    unfused_ = times_of(samples[1]);
  }
  [[nodiscard]] double ratio() const { return ratio_.median; }
  /// Whether fused was faster in two of three rounds, and by more than a twentieth: identical models differ by less, because
  /// their memory is at other addresses.
  [[nodiscard]] bool differs() const { return won_ > 2.0 / 3 && ratio_.median >= 1.05; }
  void print() const {
    std::printf(
        "%d x Dense(%lld, %s), %lld rows: unfused %.4g us a call (quartiles %.4g and %.4g),\n"
        "fused %.4g us (quartiles %.4g and %.4g); %.2f times as fast (the median of %zu rounds, of which fused won %.0f%%)\n",
        cell_.layers, static_cast<long long>(cell_.width), cell_.activation, static_cast<long long>(cell_.rows), unfused_.median,
        unfused_.low, unfused_.high, fused_.median, fused_.low, fused_.high, ratio(), rounds_, 100 * won_);
  }

 private:
  /// The time per call, over calls that together take about a tenth of a millisecond.
  double sample(int which) {
    const auto at = static_cast<std::size_t>(which);
    const auto begin = Clock::now();
    int calls = 0;
    double us = 0;
    do {
      models_[at].predict_into(x_, y_[at]);
      ++calls;
      us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
    } while (us < 100);
    return us / calls;
  }

  Cell cell_;
  std::vector<lamella::Model> models_;
  lamella::Tensor x_;
  std::vector<lamella::Tensor> y_;
  Times fused_, unfused_, ratio_;
  std::size_t rounds_ = 0;
  double won_ = 0;  ///< share of the rounds in which fused was faster
};

}  // namespace

int main() {
  try {
    constexpr Cell kCells[] = {{1, 64, 4, "relu"},    {64, 64, 4, "relu"},   {64, 64, 4, "tanh"},    {1024, 64, 1, "relu"},
                               {4096, 64, 1, "relu"}, {4096, 64, 1, "tanh"}, {4096, 128, 1, "relu"}, {4096, 256, 1, "tanh"}};
    double best = 0;
    Cell chosen = kCells[0];
    for (const Cell& cell : kCells) {
      Pair pair(cell);
      pair.measure(0.25);
      if (pair.ratio() <= best) continue;
      best = pair.ratio();
      chosen = cell;
    }
    Pair pair(chosen);
    pair.measure(2);
    if (!pair.differs()) {
      std::printf(
          "On this machine, as busy as it is now, fusion makes no difference that matters: of %zu cells the one that looked best "
          "was\n"
          "measured again, and the two were less than a twentieth apart, or too near to tell.\n",
          std::size(kCells));
    }
    pair.print();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fusion: %s\n", error.what());
    return 1;
  }
}
