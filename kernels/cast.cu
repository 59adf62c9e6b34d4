// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/pointwise.hpp"

namespace lamella::kernels {
namespace {

/// The conversion is in how elements are read and written; From = To copies bits.
template <typename C>
struct Same : ElementFunction {
  using Compute = C;
  LAMELLA_DEVICE C operator()(C x, Nothing, int, Nothing) const { return x; }
};

template <typename From, typename To>
cudaError_t cast_as(const void* src, void* dst, std::int64_t elements, cudaStream_t stream) {
  // A type that holds every From exactly, so that the store is the one rounding; bits are copied as they are.
  constexpr bool wide = std::is_same_v<From, double> || std::is_same_v<From, std::int32_t>;
  using C = std::conditional_t<std::is_same_v<From, To>, From, std::conditional_t<wide, double, ComputeOf<To>>>;
  return pointwise(Same<C>{}, static_cast<const From*>(src), static_cast<To*>(dst), matrix_of<From, To>(elements), true, stream);
}

template <typename F>
cudaError_t visit_any(DType dtype, const F& f) {
  switch (dtype) {
    case DType::int8:
      return f(Type<std::int8_t>{});
    case DType::uint8:
      return f(Type<std::uint8_t>{});
    case DType::int32:
      return f(Type<std::int32_t>{});
    default:
      return visit_floating(dtype, f);
  }
}

/// An integer of as many bytes.
template <typename T>
using BitsOf = std::conditional_t<
    sizeof(T) == 1, std::uint8_t,
    std::conditional_t<sizeof(T) == 2, std::uint16_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;

}  // namespace

cudaError_t cast(DType from, DType to, const void* src, void* dst, std::int64_t elements, cudaStream_t stream) {
  if (elements == 0) return cudaSuccess;
  return visit_any(from, [&](auto from_type) {
    using From = typename decltype(from_type)::type;
    if (from == to) return cast_as<BitsOf<From>, BitsOf<From>>(src, dst, elements, stream);
    return visit_floating(to, [&](auto to_type) {
      using To = typename decltype(to_type)::type;
      if constexpr (std::is_same_v<From, To>) {
        return cudaErrorInvalidValue;  // not reached: from == to
      } else {
        return cast_as<From, To>(src, dst, elements, stream);
      }
    });
  });
}

}  // namespace lamella::kernels
