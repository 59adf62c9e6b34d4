// SPDX-License-Identifier: Apache-2.0
#include "core/result_type.hpp"

#include <algorithm>

namespace lamella::core {
namespace {

bool is_signed(DType dtype) {
  return dtype == DType::int8 || dtype == DType::int16 || dtype == DType::int32 || dtype == DType::int64;
}
DType signed_of(std::size_t bytes) {
  return bytes == 1 ? DType::int8 : bytes == 2 ? DType::int16 : bytes == 4 ? DType::int32 : DType::int64;
}

/// For two floating types: the wider one, or float32 for the two different 16-bit types.
DType wider(DType a, DType b) {
  if (a == b) return a;
  if (size_of(a) != size_of(b)) return size_of(a) > size_of(b) ? a : b;
  return DType::float32;
}

/// For two integers or bools. uint64 and a signed integer give float32, the only type above both.
DType wider_integer(DType a, DType b) {
  if (a == b || b == DType::boolean) return a;
  if (a == DType::boolean) return b;
  if (is_signed(a) == is_signed(b)) return size_of(a) > size_of(b) ? a : b;
  const std::size_t with_sign = size_of(is_signed(a) ? a : b);
  const std::size_t without = size_of(is_signed(a) ? b : a);
  if (without < with_sign) return signed_of(with_sign);
  return without == 8 ? DType::float32 : signed_of(2 * without);
}

}  // namespace

DType result_type(std::span<const DType> dtypes) {
  DType result = dtypes.front();
  bool floating = is_floating(result);
  bool met = false;  // float32 only because no integer type holds both: any floating type may replace it
  for (const DType dtype : dtypes.subspan(1)) {
    if (is_floating(dtype)) {
      result = floating && !met ? wider(result, dtype) : dtype;
      floating = true;
      met = false;
    } else if (!floating) {
      result = wider_integer(result, dtype);
      floating = met = is_floating(result);
    }
  }
  return result == DType::uint64 ? DType::uint32 : result;
}

}  // namespace lamella::core
