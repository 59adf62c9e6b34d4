// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include <lamella/lamella.hpp>

/// The parts of the extension module lamella._core. The modules in python/lamella have checked and converted the arguments: here
/// arrays are NumPy's or DLPack's, and nothing is guessed.
namespace lamella::python {

namespace nb = nanobind;

/// Turns lamella's exceptions into those of lamella._errors, with the code as their attribute.
void translate_errors();

/// Options from a dict of them, keys named after their fields. Throws ArgumentError (value), TypeError.
Options options_from(const nb::dict& keywords);

/// Passes lamella's log messages to `function` (level: 0 or 1, message); None: to nobody.
void set_log_function(nb::object function);

/// Description of one array of a call.
struct ArrayInfo {
  std::vector<std::int64_t> sample;  ///< without the batch; -1 where Keras has None
  DType dtype = DType::float32;
  [[nodiscard]] bool is_open() const;
};

/// A model, and the facts about it that every call needs. Immutable; calls hold it, so that set_activation() can replace it.
struct Loaded {
  explicit Loaded(Model made);
  Model model;
  std::vector<ArrayInfo> inputs;
  std::vector<ArrayInfo> outputs;
  double row_cost = 0;  ///< roughly the number of operations per row
  mutable std::atomic<double> row_seconds{
      1e9};  ///< of the last long call; many at first, so that the first call can be interrupted
};

/// The Python object.
struct PyModel {
  std::shared_ptr<const Loaded> loaded;
};

/// Number of operations from which the cost of reading a clock is negligible: some tenths of a millisecond of work, at least.
inline constexpr double kWorthTiming = 2e7;
/// Seconds of work from which a person may want to end it, and the cost of a helper thread, which takes over the caller's work on
/// another processor, is negligible.
inline constexpr double kLong = 0.1;
/// Calls `work` without the GIL. On the main thread, a helper thread does the work, so that Ctrl-C is noticed: then `stop` is
/// requested, and after the work has ended the exception of the signal handler is thrown.
void interruptible(const std::function<void(const std::stop_token&)>& work);

/// The number of helper threads that were made in this process, for tests.
[[nodiscard]] std::int64_t helpers_made() noexcept;

template <typename Work>
void without_gil(const Loaded& loaded, std::int64_t rows, const Work& work) {
  using Clock = std::chrono::steady_clock;
  const auto count = static_cast<double>(rows);
  const bool timed = loaded.row_cost * count >= kWorthTiming;
  const Clock::time_point begin = timed ? Clock::now() : Clock::time_point{};
  if (timed && loaded.row_seconds * count >= kLong) {
    interruptible(work);
  } else {
    const nb::gil_scoped_release released;
    work(std::stop_token());
  }
  if (timed) loaded.row_seconds = std::chrono::duration<double>(Clock::now() - begin).count() / count;
}

void bind_model(nb::module_& module);
void bind_layers(nb::module_& module);

}  // namespace lamella::python
