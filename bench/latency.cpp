// SPDX-License-Identifier: Apache-2.0
// Model::predict_into of one Keras file, for bench/peers. Reads lines from standard input, and answers each with one, so that
// another program can take turns with it: "BATCH" with "MEDIAN_US MIN_US SPREAD"; "answer INPUT OUTPUT" (files of float32 values
// and nothing else) with "written". Usage: latency MODEL DEVICE THREADS [MILLISECONDS [DTYPE [exact|tf32]]]
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

Tensor with_rows(const Model& model, std::int64_t rows) {
  std::vector<std::int64_t> shape = model.input_shape();
  shape.insert(shape.begin(), rows);
  return bench::random_tensor(Shape(shape), DType::float32, 1);
}

void answer(const Model& model, const std::string& input, const std::string& output) {
  std::ifstream from(input, std::ios::binary | std::ios::ate);
  if (!from) throw std::runtime_error("'" + input + "' cannot be read");
  const auto bytes = static_cast<std::size_t>(from.tellg());
  Tensor x = with_rows(model, static_cast<std::int64_t>(bytes / with_rows(model, 1).bytes()));
  if (x.bytes() != bytes) throw std::runtime_error("'" + input + "' is no whole number of rows");
  from.seekg(0);
  from.read(static_cast<char*>(x.data()), static_cast<std::streamsize>(bytes));
  const Tensor y = model.predict(x).to(DType::float32);
  std::ofstream to(output, std::ios::binary);
  to.write(static_cast<const char*>(y.data()), static_cast<std::streamsize>(y.bytes()));
  to.close();
  if (!to) throw std::runtime_error("'" + output + "' cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: latency MODEL DEVICE THREADS [MILLISECONDS [DTYPE [exact|tf32]]]\n");
    return 2;
  }
  try {
    Options options{.device = Device::parse(argv[2]), .threads = std::atoi(argv[3])};
    if (argc > 5) options.dtype = dtype_of(argv[5]);
    if (argc > 6 && std::strcmp(argv[6], "tf32") == 0) options.math = Math::tf32;
    const Model model = Model::load(argv[1], options);
    const bool host = model.device().is_cpu();
    const std::unique_ptr<bench::Clock> clock =
        host ? std::make_unique<bench::HostClock>(0, 1) : bench::make_cuda_clock(model.device().index());
    bench::Settings settings;
    settings.candidate_us = argc > 4 ? 1e3 * std::atof(argv[4]) : 100e3;
    for (std::string word; std::cin >> word;) {
      if (word == "answer") {
        std::string input;
        std::string output;
        std::cin >> input >> output;
        answer(model, input, output);
        std::printf("written\n");
      } else {
        const Tensor x = with_rows(model, std::atoll(word.c_str())).to(model.device());
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
