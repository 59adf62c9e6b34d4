// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <lamella/dtype.hpp>

#include "core/check.hpp"

namespace lamella::core {

/// Calls f(T{}) with the C++ type of the dtype.
template <typename F>
void visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
#define LAMELLA_DTYPE(enumerator, name, type) \
  case DType::enumerator:                     \
    return f(type{});
#include <lamella/dtype.def>
  }
  LAMELLA_ASSERT(false, "not a DType");
}

}  // namespace lamella::core
