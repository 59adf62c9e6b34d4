// SPDX-License-Identifier: Apache-2.0
// Measures two times that kernels' times do not show; prints JSON. first_answer: in a fresh process, the milliseconds to open the
// device, to load a small model, to its first and to its second answer; and from the process's start to the first answer.
// host_to_host: predict() of many rows in host memory, compared with only the copies both ways and with only the computation,
// each the median of several runs; `ratio` is the slower of these two over predict(). Usage: host_predict MODEL [DEVICE] [GIB]
// MODEL has one input and one output; default cuda:0 and 1 GiB of input
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <lamella/lamella.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "cli/bench/check.hpp"

namespace {

using namespace lamella;

double milliseconds(const auto& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double median_ms(const auto& f) {
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) times.push_back(milliseconds(f));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Milliseconds since this process was started, with an error of about ten; -1 if the system does not say.
double since_start_ms() {
  std::ifstream file("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return -1;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  constexpr int kStart = 20;  // starttime, counted from the field after the name
  for (int i = 0; i < kStart; ++i) fields >> field;
  timespec now{};
  if (field.empty() || clock_gettime(CLOCK_BOOTTIME, &now) != 0) return -1;
  const double begun = std::atof(field.c_str()) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return 1e3 * (static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - begun);
}

Tensor rows_of(const Model& model, std::int64_t rows) {
  std::vector<std::int64_t> shape = model.input_shape();
  shape.insert(shape.begin(), rows);
  return bench::random_tensor(Shape(shape), DType::float32, 1);
}

void first_answer(const char* path, Device device) {
  const double open = milliseconds([&] { static_cast<void>(Tensor({1}, DType::float32, device)); });
  std::optional<Model> model;
  const double load = milliseconds([&] { model.emplace(Model::load(path, {.device = device})); });
  const Tensor x = rows_of(*model, 1);
  const double first = milliseconds([&] { static_cast<void>(model->predict(x)); });
  const double whole = since_start_ms();
  const double second = milliseconds([&] { static_cast<void>(model->predict(x)); });
  std::printf(
      "\"first_answer\": {\"open_device_ms\": %.3f, \"load_ms\": %.3f, \"first_predict_ms\": %.3f, \"second_predict_ms\": %.3f, "
      "\"since_process_start_ms\": %.0f}",
      open, load, first, second, whole);
}

void host_to_host(const char* path, Device device, double gib) {
  const Model model = Model::load(path, {.device = device});
  const auto row_bytes = static_cast<double>(rows_of(model, 1).bytes());
  const auto rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(gib * 0x1p30 / row_bytes)));
  const Tensor x = rows_of(model, rows);
  Tensor y = model.predict(x);
  const double predict = median_ms([&] { y = model.predict(x); });
  const Tensor there = x.to(device);
  Tensor result = y.to(device);
  const double copies = median_ms([&] {
    static_cast<void>(x.to(device));
    static_cast<void>(result.to(Device::cpu()));
  });
  const double compute = median_ms([&] { model.predict_into(there, result); });
  std::printf(
      "\"host_to_host\": {\"rows\": %lld, \"bytes_in\": %zu, \"bytes_out\": %zu, \"predict_ms\": %.3f, \"copies_ms\": %.3f, "
      "\"compute_ms\": %.3f, \"ratio\": %.3f}",
      static_cast<long long>(rows), x.bytes(), y.bytes(), predict, copies, compute, std::max(copies, compute) / predict);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: host_predict MODEL [DEVICE] [GIB]\n");
    return 2;
  }
  try {
    const Device device = Device::parse(argc > 2 ? argv[2] : "cuda:0");
    std::printf("{\"device\": \"%s\", ", to_string(device).c_str());
    first_answer(argv[1], device);
    std::printf(", \"description\": \"%s\"", describe(device).c_str());
    std::printf(", ");
    host_to_host(argv[1], device, argc > 3 ? std::atof(argv[3]) : 1);
    std::printf("}\n");
  } catch (const Error& error) {
    std::fprintf(stderr, "host_predict: not measured: %s\n", error.what());
    return error.code() == ErrorCode::device ? 5 : 1;
  }
}
