// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

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
};

/// The Python object.
struct PyModel {
  std::shared_ptr<const Loaded> loaded;
};

/// Number of operations from which the cost of a helper thread is negligible: some milliseconds of work.
inline constexpr double kLong = 2e7;
/// Calls `work` without the GIL. On the main thread, a helper thread does the work, so that Ctrl-C is noticed: then `stop` is
/// requested, and after the work has ended the exception of the signal handler is thrown.
void interruptible(const std::function<void(const std::stop_token&)>& work);

template <typename Work>
void without_gil(double cost, const Work& work) {
  if (cost >= kLong) return interruptible(work);
  const nb::gil_scoped_release released;
  work(std::stop_token());
}

void bind_model(nb::module_& module);
void bind_layers(nb::module_& module);

}  // namespace lamella::python
