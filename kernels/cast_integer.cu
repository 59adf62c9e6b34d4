// SPDX-License-Identifier: Apache-2.0
#include "core/convert.hpp"
#include "kernels/kernels.hpp"
#include "kernels/pointwise.hpp"

namespace lamella::kernels {
namespace {

/// In the type of the source, with 16-bit types as float.
template <typename From, typename To>
struct ToInteger : ElementFunction {
  using Compute = ComputeOf<From>;
  LAMELLA_DEVICE To operator()(Compute x, Nothing, int, Nothing) const { return core::to_integer<To>(x); }
};

template <typename From, typename To>
cudaError_t as_integer(const void* src, void* dst, std::int64_t elements, cudaStream_t stream) {
  return launch_pointwise<1>(ToInteger<From, To>{}, static_cast<const From*>(src), static_cast<To*>(dst),
                             matrix_of<From, To>(elements), stream);
}

/// The low bits of an integer, sign-extended, are the same for signed and unsigned To.
template <typename From>
cudaError_t resized(DType to, const void* src, void* dst, std::int64_t elements, cudaStream_t stream) {
  switch (size_of(to)) {
    case 1:
      return as_integer<From, std::uint8_t>(src, dst, elements, stream);
    case 2:
      return as_integer<From, std::uint16_t>(src, dst, elements, stream);
    case 4:
      return as_integer<From, std::uint32_t>(src, dst, elements, stream);
    default:
      return as_integer<From, std::uint64_t>(src, dst, elements, stream);
  }
}

}  // namespace

cudaError_t cast_to_integer(DType from, DType to, const void* src, void* dst, std::int64_t elements, cudaStream_t stream) {
  if (is_floating(from)) {
    return visit_floating(from, [&](auto from_type) {
      using From = typename decltype(from_type)::type;
      if (to == DType::boolean) return as_integer<From, bool>(src, dst, elements, stream);
      return visit_integer(to, [&](auto to_type) {
        using To = typename decltype(to_type)::type;
        return as_integer<From, To>(src, dst, elements, stream);
      });
    });
  }
  return visit_integer(from, [&](auto from_type) {
    using From = typename decltype(from_type)::type;
    if (to == DType::boolean) return as_integer<From, bool>(src, dst, elements, stream);
    return resized<From>(to, src, dst, elements, stream);
  });
}

}  // namespace lamella::kernels
