// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <lamella/dtype.hpp>

#include "core/check.hpp"

namespace lamella::core {

/// f(T{}) for the type whose name the dtype has.
template <typename F>
void visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
#define LAMELLA_DTYPE(enumerator, name, type) \
  case DType::enumerator:                     \
    return f(type{});
#include <lamella/dtype.def>
  }
  LAMELLA_ASSERT(false, "a dtype that is none of the enumeration's");
}

}  // namespace lamella::core
