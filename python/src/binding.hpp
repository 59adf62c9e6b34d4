// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include <lamella/lamella.hpp>

/// The parts of the extension module lamella._core. What Python is given as arguments, the modules in python/lamella have put
/// in order: here arrays are NumPy's, or DLPack's, and nothing is guessed.
namespace lamella::python {

namespace nb = nanobind;

/// Turns lamella's exceptions into those of lamella._errors, with the code as their attribute.
void translate_errors();

/// Options from a dict of them, keys named after their fields. Throws ArgumentError (value), TypeError.
Options options_from(const nb::dict& keywords);

/// Tells `function` (level: 0 or 1, message), or with None nobody, what lamella::set_log_function() says.
void set_log_function(nb::object function);

/// What arrays of a call look like.
struct ArrayInfo {
  std::vector<std::int64_t> sample;  ///< without the batch; -1 where Keras has None
  DType dtype = DType::float32;
  [[nodiscard]] bool is_open() const;
};

/// A model and what is asked of it at every call. Immutable; calls hold it, so that set_activation() may put another in its
/// place.
struct Loaded {
  explicit Loaded(Model made);
  Model model;
  std::vector<ArrayInfo> inputs;
  std::vector<ArrayInfo> outputs;
  double row_cost = 0;  ///< roughly the operations that one row takes
};

/// The Python object.
struct PyModel {
  std::shared_ptr<const Loaded> loaded;
};

/// Work from which a helper thread costs nothing beside it, in operations: some milliseconds.
inline constexpr double kLong = 2e7;
/// Calls `work` without the GIL. Where the main thread calls, a helper does the work meanwhile, so that Ctrl-C is heard: then
/// `stop` is requested, and when the work has ended the exception of the signal handler is thrown.
void interruptible(const std::function<void(const std::stop_token&)>& work);

template <typename Work>
void without_gil(double cost, const Work& work) {
  if (cost >= kLong) return interruptible(work);
  const nb::gil_scoped_release released;
  work(std::stop_token());
}

void bind_model(nb::module_& module);

}  // namespace lamella::python
