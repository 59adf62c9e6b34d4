// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/pointwise.hpp"

namespace lamella::kernels {
namespace {

/// Loads and stores do the conversion; From = To copies bits.
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

/// Elements of a given size, of any type.
cudaError_t copy(std::size_t size, const void* src, void* dst, std::int64_t elements, cudaStream_t stream) {
  switch (size) {
    case 1:
      return cast_as<std::uint8_t, std::uint8_t>(src, dst, elements, stream);
    case 2:
      return cast_as<std::uint16_t, std::uint16_t>(src, dst, elements, stream);
    case 4:
      return cast_as<std::uint32_t, std::uint32_t>(src, dst, elements, stream);
    default:
      return cast_as<std::uint64_t, std::uint64_t>(src, dst, elements, stream);
  }
}

}  // namespace

cudaError_t cast(DType from, DType to, const void* src, void* dst, std::int64_t elements, cudaStream_t stream) {
  if (elements == 0) return cudaSuccess;
  if (from == DType::boolean && to != DType::boolean) from = DType::uint8;  // a byte of 0 or 1
  if (from == to || (!is_floating(from) && !is_floating(to) && to != DType::boolean && size_of(from) == size_of(to)))
    return copy(size_of(to), src, dst, elements, stream);
  if (!is_floating(to)) return cast_to_integer(from, to, src, dst, elements, stream);
  const auto from_type = [&](auto type) {
    using From = typename decltype(type)::type;
    return visit_floating(to, [&](auto to_type) {
      using To = typename decltype(to_type)::type;
      if constexpr (std::is_same_v<From, To>) {
        return cudaErrorInvalidValue;  // not reached: from == to
      } else {
        return cast_as<From, To>(src, dst, elements, stream);
      }
    });
  };
  return is_floating(from) ? visit_floating(from, from_type) : visit_integer(from, from_type);
}

}  // namespace lamella::kernels
