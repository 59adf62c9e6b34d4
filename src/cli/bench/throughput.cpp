// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/throughput.hpp"

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstring>
#include <exception>
#include <thread>

#include "cli/bench/check.hpp"
#include "cli/bench/machine.hpp"
#include "cli/bench/subject.hpp"
#include "core/format.hpp"

namespace lamella::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

double microseconds(SteadyClock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].bytes() != 0 && std::memcmp(a[i].data(), b[i].data(), a[i].bytes()) != 0) return false;
  }
  return true;
}

/// One thread that calls until the time is over, at least once.
struct Caller {
  std::vector<double> calls_us;
  bool wrong = false;
  std::exception_ptr error;

  void call(const Model& model, const std::vector<TensorView>& inputs, const std::vector<Tensor>& expected, double seconds) {
    const auto end = SteadyClock::now() + std::chrono::duration<double>(seconds);
    try {
      do {
        const auto begin = SteadyClock::now();
        const std::vector<Tensor> answer = model.predict(inputs);
        calls_us.push_back(microseconds(SteadyClock::now() - begin));
        wrong = wrong || !same_bits(answer, expected);
      } while (SteadyClock::now() < end);
    } catch (...) {
      error = std::current_exception();
    }
  }
};

}  // namespace

Throughput measure_throughput(const Cell& cell, Device device, int callers, double seconds) {
  const Subject subject(cell);
  const Model model = subject.compile({.device = device}, 1);
  const std::vector<Tensor> inputs = subject.inputs(model);
  const std::vector<TensorView> views(inputs.begin(), inputs.end());
  const std::vector<Tensor> expected = model.predict(views);
  std::vector<Caller> all(static_cast<std::size_t>(callers));
  std::barrier start(callers + 1);
  std::vector<std::jthread> threads;
  for (Caller& one : all) {
    threads.emplace_back([&, &one = one] {
      one.call(model, views, expected, 0);  // creates its session before the timing starts
      one.calls_us.clear();
      start.arrive_and_wait();
      if (!one.error) one.call(model, views, expected, seconds);
    });
  }
  start.arrive_and_wait();
  const Neighbours neighbours;
  const auto begin = SteadyClock::now();
  threads.clear();  // joins
  const double elapsed_us = microseconds(SteadyClock::now() - begin);
  Throughput result{.cell = cell, .device = device, .callers = callers, .others = neighbours.share()};
  std::vector<double> calls_us;
  for (const Caller& one : all) {
    if (one.error) std::rethrow_exception(one.error);
    if (one.wrong)
      throw WrongResult(
          core::format("{}: {} concurrent callers get results that differ from a single caller's", cell.file, callers));
    calls_us.insert(calls_us.end(), one.calls_us.begin(), one.calls_us.end());
  }
  result.rows_per_s = 1e6 * static_cast<double>(calls_us.size()) * static_cast<double>(cell.batch) / elapsed_us;
  result.latency = percentiles_of(std::move(calls_us));
  return result;
}

}  // namespace lamella::bench
