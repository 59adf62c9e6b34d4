// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/lamella.h>
#include <lamella/model.hpp>

#include "core/check.hpp"

/// Shared by the functions of the C interface: turns exceptions into errors, and handles into objects.

struct lamella_error {
  const char* code = "";    ///< static
  char* message = nullptr;  ///< from malloc(); null in the one error that is never freed
};

struct lamella_options {
  lamella::Options options;
};

struct lamella_model {
  /// What an input or output looks like.
  struct Port {
    std::string name;
    lamella::DType dtype = lamella::DType::float32;
    std::vector<std::int64_t> shape;  ///< the batch first, -1 where an extent is open
  };
  lamella::Model model;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
};

namespace lamella::c {

/// The current exception as an error. Never null: when memory has run out, a static one.
[[nodiscard]] lamella_error* caught() noexcept;

/// Calls f(). Returns null, or the error that it threw.
template <typename F>
[[nodiscard]] lamella_error* guarded(const F& f) noexcept {
  try {
    f();
    return nullptr;
  } catch (...) {
    return caught();
  }
}

/// Throws ArgumentError (argument) when a pointer is null.
inline void expect(const void* pointer, const char* function, const char* argument) {
  LAMELLA_EXPECTS(pointer != nullptr, argument, "[{}] {}: got NULL", function, argument);
}

/// Names an array or struct of a call in messages, which are formatted only when needed.
struct Where {
  const char* function;
  const char* kind;            ///< "input", "output"; or the argument's name
  std::string_view name = {};  ///< null data: `kind` says it all

  [[nodiscard]] std::string text() const {
    return name.data() == nullptr ? core::format("[{}] {}", function, kind)
                                  : core::format("[{}] {} '{}'", function, kind, core::escaped(name));
  }
};

/// The number of a dtype in lamella.h.
[[nodiscard]] std::int32_t number_of(DType dtype) noexcept;

/// A caller's array, checked.
struct Array {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::float32;
  Device device;
  std::vector<std::int64_t> strides;  ///< in elements; empty: C order, without gaps
};
/// Element `i` of the caller's `tensors`. Throws ArgumentError that names the array.
[[nodiscard]] Array array_of(const lamella_tensor* tensors, std::size_t i, const Where& where);
/// Copies between an array with strides and elements in C order.
void gather(const Array& from, void* to);
void scatter(const void* from, const Array& to);
/// The inputs or outputs of a call, in number and dtype as the model has them. Throws ArgumentError.
[[nodiscard]] std::vector<Array> checked_arrays(const lamella_tensor* tensors, std::size_t count,
                                                const std::vector<lamella_model::Port>& ports, const char* kind,
                                                const char* function);
/// Views of host arrays; those with strides are copied into `plain`, which must live as long.
[[nodiscard]] std::vector<TensorView> host_views(const std::vector<Array>& arrays, std::vector<Tensor>& plain);

}  // namespace lamella::c
