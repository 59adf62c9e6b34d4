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
    case DType::float32:
      return f(float{});
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::float64:
      return f(double{});
    case DType::int8:
      return f(std::int8_t{});
    case DType::uint8:
      return f(std::uint8_t{});
    case DType::int32:
      return f(std::int32_t{});
  }
  LAMELLA_ASSERT(false, "a dtype that is none of the enumeration's");
}

}  // namespace lamella::core
