// SPDX-License-Identifier: Apache-2.0
// Times Model::predict_into of one Keras file, for bench/peers: reads a batch size a line from standard input, and answers each
// with "MEDIAN_US MIN_US SPREAD", so that another program can take turns with it. Usage: latency MODEL DEVICE THREADS
// [MILLISECONDS]
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <lamella/lamella.hpp>
#include <memory>

#include "cli/bench/check.hpp"
#include "cli/bench/cuda_clock.hpp"
#include "cli/bench/measure.hpp"

int main(int argc, char** argv) {
  using namespace lamella;
  if (argc < 4) {
    std::fprintf(stderr, "usage: latency MODEL DEVICE THREADS [MILLISECONDS]\n");
    return 2;
  }
  try {
    const Model model = Model::load(argv[1], {.device = Device::parse(argv[2]), .threads = std::atoi(argv[3])});
    const bool host = model.device().is_cpu();
    const std::unique_ptr<bench::Clock> clock =
        host ? std::make_unique<bench::HostClock>(0, 1) : bench::make_cuda_clock(model.device().index());
    bench::Settings settings;
    settings.candidate_us = argc > 4 ? 1e3 * std::atof(argv[4]) : 100e3;
    for (std::int64_t batch = 0; std::cin >> batch;) {
      std::vector<std::int64_t> shape = model.input_shape();
      shape.insert(shape.begin(), batch);
      const Tensor x = bench::random_tensor(Shape(shape), DType::float32, 1).to(model.device());
      Tensor y = model.predict(x.to(Device::cpu())).to(model.device());
      const bench::Call on_host = [&] { model.predict_into(x, y); };
      const bench::Call on_stream = [&] { model.predict_into(x, y, clock->stream()); };
      const bench::Timing timing = bench::measure(*clock, std::array{host ? on_host : on_stream}, settings)[0];
      std::printf("%.4f %.4f %.4f\n", timing.median_us, timing.min_us, timing.spread);
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "latency: %s\n", error.what());
    return 1;
  }
}
