// SPDX-License-Identifier: Apache-2.0
// Times Model::predict_into of equal Dense layers, for bench/peers. Answers each line of standard input with a line, so that
// another program can take turns with it: "BATCH" with "MEDIAN_US MIN_US SPREAD"; "answer INPUT OUTPUT" with "written".
// Usage: latency WEIGHTS WIDTH DEPTH ACTIVATION DEVICE THREADS [MILLISECONDS [DTYPE [exact|tf32]]]
// Files hold float32 values and nothing else; WEIGHTS holds the kernel and bias of each layer.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <lamella/lamella.hpp>
#include <memory>

#include "cli/bench/check.hpp"
#include "cli/bench/cuda_clock.hpp"
#include "cli/bench/measure.hpp"

namespace {

using namespace lamella;

/// A file's values as rows of `width`.
Tensor read(const std::string& path, std::int64_t width) {
  std::ifstream from(path, std::ios::binary | std::ios::ate);
  if (!from) throw std::runtime_error("'" + path + "' cannot be read");
  const auto bytes = static_cast<std::size_t>(from.tellg());
  Tensor values({static_cast<std::int64_t>(bytes / sizeof(float)) / width, width});
  if (values.bytes() != bytes) throw std::runtime_error("'" + path + "' is not a whole number of rows");
  from.seekg(0);
  from.read(static_cast<char*>(values.data()), static_cast<std::streamsize>(bytes));
  return values;
}

Model model_of(const std::string& weights, std::int64_t width, std::int64_t depth, const char* activation,
               const Options& options) {
  const Tensor values = read(weights, width);
  if (values.shape()[0] != depth * (width + 1))
    throw std::runtime_error("'" + weights + "' does not have the weights of these layers");
  Sequential network{Input({width})};
  const float* at = values.span<float>().data();
  for (std::int64_t i = 0; i < depth; ++i, at += width * (width + 1)) {
    Dense layer(width, {.activation = activation});
    network.add(layer);
    layer.set_weights({TensorView(at, {width, width}, DType::float32), TensorView(at + width * width, {width}, DType::float32)});
  }
  return network.compile(options);
}

void answer(const Model& model, std::int64_t width, const std::string& input, const std::string& output) {
  const Tensor x = read(input, width);
  const Tensor y = model.predict(x).to(DType::float32);
  std::ofstream to(output, std::ios::binary);
  to.write(static_cast<const char*>(y.data()), static_cast<std::streamsize>(y.bytes()));
  to.close();
  if (!to) throw std::runtime_error("'" + output + "' cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fprintf(stderr, "usage: latency WEIGHTS WIDTH DEPTH ACTIVATION DEVICE THREADS [MILLISECONDS [DTYPE [exact|tf32]]]\n");
    return 2;
  }
  try {
    const std::int64_t width = std::atoll(argv[2]);
    Options options{.device = Device::parse(argv[5]), .threads = std::atoi(argv[6])};
    if (argc > 8) options.dtype = dtype_of(argv[8]);
    if (argc > 9 && std::strcmp(argv[9], "tf32") == 0) options.math = Math::tf32;
    const Model model = model_of(argv[1], width, std::atoll(argv[3]), argv[4], options);
    const bool host = model.device().is_cpu();
    const std::unique_ptr<bench::Clock> clock =
        host ? std::make_unique<bench::HostClock>(0, 1) : bench::make_cuda_clock(model.device().index());
    bench::Settings settings;
    settings.candidate_us = argc > 7 ? 1e3 * std::atof(argv[7]) : 100e3;
    for (std::string word; std::cin >> word;) {
      if (word == "answer") {
        std::string input;
        std::string output;
        std::cin >> input >> output;
        answer(model, width, input, output);
        std::printf("written\n");
      } else {
        const Tensor x = bench::random_tensor({std::atoll(word.c_str()), width}, DType::float32, 1).to(model.device());
        Tensor y = model.predict(x.to(Device::cpu())).to(model.device());
        const bench::Call on_host = [&] { model.predict_into(x, y); };
        const bench::Call on_stream = [&] { model.predict_into(x, y, clock->stream()); };
        const bench::Timing timing = bench::measure(*clock, std::array{host ? on_host : on_stream}, settings)[0];
        std::printf("%.4f %.4f %.4f\n", timing.median_us, timing.min_us, timing.spread);
      }
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "latency: %s\n", error.what());
    return 1;
  }
}
