// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <string>

#include "binding.hpp"

namespace lamella::python {
namespace {

const char* class_of(const Error& error) {
  if (error.code() == ErrorCode::out_of_memory) return "OutOfMemoryError";
  if (dynamic_cast<const LoadError*>(&error) != nullptr) return error.code() == ErrorCode::io ? "FileError" : "LoadError";
  if (dynamic_cast<const ArgumentError*>(&error) != nullptr) return "ArgumentError";
  if (dynamic_cast<const DeviceError*>(&error) != nullptr) return "DeviceError";
  return "Error";
}

void set_python_error(const Error& error) {
  try {
    const std::string_view code = to_string(error.code());
    const nb::object type = nb::module_::import_("lamella._errors").attr(class_of(error));
    const nb::object exception = type(nb::str(error.what()), nb::str(code.data(), code.size()));
    PyErr_SetObject(type.ptr(), exception.ptr());
  } catch (nb::python_error& other) {
    other.restore();
  }
}

}  // namespace

void translate_errors() {
  nb::register_exception_translator([](const std::exception_ptr& pointer, void* /*unused*/) {
    try {
      std::rethrow_exception(pointer);
    } catch (const Error& error) {
      set_python_error(error);
    }
  });
}

}  // namespace lamella::python
