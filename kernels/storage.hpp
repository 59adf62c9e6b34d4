// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <lamella/dtype.hpp>

#include "core/math.hpp"
#include "kernels/launch.hpp"

/// Elements in memory, and their conversion to and from the compute type.
namespace lamella::kernels {

/// C, the compute type for elements of T; integers are computed in T.
template <typename T>
using ComputeOf = std::conditional_t<std::is_same_v<T, double> || std::is_integral_v<T>, T, float>;

template <typename C>
inline constexpr C kInfinity = std::numeric_limits<C>::infinity();
template <typename C>
inline constexpr C kNaN = std::numeric_limits<C>::quiet_NaN();

/// An element as C.
template <typename C, typename T>
LAMELLA_HD C widen(T x) {
  if constexpr (std::is_same_v<T, __half>) {
    return static_cast<C>(__half2float(x));
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return static_cast<C>(__bfloat162float(x));
  } else {
    return static_cast<C>(x);
  }
}

/// An element of T, rounded to nearest even; NaN stays NaN.
template <typename T, typename C>
LAMELLA_HD T narrow(C x) {
  if constexpr (std::is_same_v<T, __half> && std::is_same_v<C, double>) {
    return __double2half(x);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16> && std::is_same_v<C, double>) {
    return __double2bfloat16(x);
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

/// Adjacent elements, moved by accesses of up to 16 bytes.
template <typename T, int kWidth>
struct alignas(kWidth * sizeof(T) < 16 ? kWidth * sizeof(T) : 16) Pack {
  T at[kWidth];
};

/// Loads the first `left` elements and 0 for the others, in one access if all are there.
template <typename T, int kWidth>
LAMELLA_DEVICE void load(Pack<T, kWidth>& pack, const T* src, std::int64_t left) {
  if (left >= kWidth) {
    pack = *reinterpret_cast<const Pack<T, kWidth>*>(src);
    return;
  }
  LAMELLA_UNROLL
  for (int k = 0; k < kWidth; ++k) {
    pack.at[k] = k < left ? src[k] : T{};
  }
}
template <typename T, int kWidth>
LAMELLA_DEVICE void store(T* dst, const Pack<T, kWidth>& pack, std::int64_t left) {
  if (left >= kWidth) {
    *reinterpret_cast<Pack<T, kWidth>*>(dst) = pack;
    return;
  }
  LAMELLA_UNROLL
  for (int k = 0; k < kWidth; ++k) {
    if (k < left) dst[k] = pack.at[k];
  }
}

/// Whether packs of 16 bytes may start there.
inline bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }

template <typename T>
struct Type {
  using type = T;
};

/// Calls f(Type<T>{}) for float16 and bfloat16; cudaErrorInvalidValue for others.
template <typename F>
cudaError_t visit_16_bits(DType dtype, const F& f) {
  if (dtype == DType::float16) return f(Type<__half>{});
  return dtype == DType::bfloat16 ? f(Type<__nv_bfloat16>{}) : cudaErrorInvalidValue;
}

/// Calls f(Type<T>{}) for the floating types; cudaErrorInvalidValue for others.
template <typename F>
cudaError_t visit_floating(DType dtype, const F& f) {
  if (dtype == DType::float32) return f(Type<float>{});
  return dtype == DType::float64 ? f(Type<double>{}) : visit_16_bits(dtype, f);
}

/// Calls f(Type<T>{}) for the integer types; cudaErrorInvalidValue for others.
template <typename F>
cudaError_t visit_integer(DType dtype, const F& f) {
  switch (dtype) {
    case DType::int8:
      return f(Type<std::int8_t>{});
    case DType::int16:
      return f(Type<std::int16_t>{});
    case DType::int32:
      return f(Type<std::int32_t>{});
    case DType::int64:
      return f(Type<std::int64_t>{});
    case DType::uint8:
      return f(Type<std::uint8_t>{});
    case DType::uint16:
      return f(Type<std::uint16_t>{});
    case DType::uint32:
      return f(Type<std::uint32_t>{});
    case DType::uint64:
      return f(Type<std::uint64_t>{});
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace lamella::kernels
