// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <string_view>

#include <nanobind/stl/string.h>

#include "binding.hpp"

namespace lamella::python {

void set_log_function(nb::object function) {
  if (function.is_none()) return lamella::set_log_function({});
  const std::shared_ptr<PyObject> kept(function.release().ptr(), [](PyObject* object) noexcept {
    if (Py_IsInitialized() == 0) return;
    const nb::gil_scoped_acquire held;
    Py_DECREF(object);
  });
  lamella::set_log_function([kept](LogLevel level, std::string_view message) {
    if (Py_IsInitialized() == 0) return;
    const nb::gil_scoped_acquire held;
    try {
      nb::handle(kept.get())(static_cast<int>(level), printable(std::string(message)));
    } catch (nb::python_error& error) {
      if (error.matches(PyExc_KeyboardInterrupt))
        PyErr_SetInterrupt();  // the exception would have reached the main thread
      else
        error.discard_as_unraisable("a handler of the logger 'lamella'");
    }
  });
}

}  // namespace lamella::python
