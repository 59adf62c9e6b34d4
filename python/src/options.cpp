// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>
#include <utility>

#include <nanobind/stl/string.h>

#include "arguments.hpp"

namespace lamella::python {
namespace {

[[noreturn]] void refuse(std::string_view option, const std::string& found, const std::string& allowed) {
  throw ArgumentError(ErrorCode::value, std::string(option) + ": got " + found + ", allowed " + allowed);
}

/// The value with this name. Throws an ArgumentError that lists all names.
template <typename T, std::size_t N>
void set(T& field, std::string_view option, nb::handle value, const T (&all)[N]) {
  std::string allowed;
  for (const T one : all) {
    if (nb::isinstance<nb::str>(value) && nb::cast<std::string>(value) == to_string(one)) {
      field = one;
      return;
    }
    allowed += (allowed.empty() ? "'" : ", '") + std::string(to_string(one)) + "'";
  }
  refuse(option, shown(value), allowed);
}

template <typename T>
void set_number(T& field, std::string_view option, nb::handle value) {
  if (PyBool_Check(value.ptr()) != 0 || !nb::try_cast<T>(value, field))
    refuse(option, shown(value), "a whole number of its range");
}

void set_text(std::string& field, std::string_view option, nb::handle value) {
  if (!nb::try_cast<std::string>(value, field)) refuse(option, shown(value), "a str");
}

void set_truth(bool& field, std::string_view option, nb::handle value) {
  if (!nb::try_cast<bool>(value, field)) refuse(option, shown(value), "True, False");
}

bool set_choice(Options& o, std::string_view name, nb::handle value) {
  if (name == "math")
    set(o.math, name, value, {Math::exact, Math::tf32, Math::bf16x6});
  else if (name == "fusion")
    set(o.fusion, name, value, {Fusion::automatic, Fusion::none, Fusion::epilogue, Fusion::library});
  else if (name == "determinism")
    set(o.determinism, name, value, {Determinism::run_to_run, Determinism::batch_invariant});
  else if (name == "tuning")
    set(o.tuning, name, value, {Tuning::off, Tuning::cached, Tuning::measure});
  else if (name == "hard_sigmoid")
    set(o.hard_sigmoid, name, value, {HardSigmoid::as_written, HardSigmoid::keras2, HardSigmoid::keras3});
  else
    return false;
  return true;
}

bool set_value(Options& o, std::string_view name, nb::handle value) {
  std::string text;
  if (name == "device") {
    set_text(text, name, value);
    o.device = Device::parse(text);
  } else if (name == "dtype") {
    if (value.is_none()) return true;
    set_text(text, name, value);
    o.dtype = dtype_of(text);
  } else if (name == "engine") {
    set_text(o.engine, name, value);
  } else if (name == "threads") {
    set_number(o.threads, name, value);
  } else if (name == "max_batch") {
    set_number(o.max_batch, name, value);
  } else if (name == "cached_programs") {
    set_number(o.cached_programs, name, value);
  } else if (name == "memory_limit") {
    set_number(o.memory_limit, name, value);
  } else if (name == "graphs") {
    set_truth(o.graphs, name, value);
  } else if (name == "profile") {
    set_truth(o.profile, name, value);
  } else if (name == "updatable") {
    set_truth(o.updatable, name, value);
  } else {
    return false;
  }
  return true;
}

}  // namespace

Options options_from(const nb::dict& keywords) {
  Options options;
  for (const auto& [key, value] : keywords) {
    const auto name = nb::cast<std::string>(key);
    if (set_choice(options, name, value) || set_value(options, name, value)) continue;
    throw nb::type_error(("no option is named '" + printable(name) +
                          "'; known: device, dtype, threads, math, fusion, determinism, tuning, engine, max_batch, "
                          "cached_programs, memory_limit, graphs, profile, updatable, hard_sigmoid")
                             .c_str());
  }
  return options;
}

}  // namespace lamella::python
