// SPDX-License-Identifier: Apache-2.0
#include <lamella/tensor.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/convert.hpp"
#include "core/float_environment.hpp"
#include "core/rounding.hpp"
#include "core/visit_dtype.hpp"

namespace lamella {
namespace {

void expect_known(DType dtype) {
  LAMELLA_EXPECTS(size_of(dtype) != 0, dtype, "[Tensor] dtype: got {}, which is not a DType", static_cast<int>(dtype));
}

std::shared_ptr<void> allocate(Device device, const Shape& shape, DType dtype) {
  expect_known(dtype);
  const auto bytes = core::checked_mul(static_cast<std::size_t>(shape.elements()), size_of(dtype));
  LAMELLA_EXPECTS(bytes, overflow, "[Tensor] the number of bytes of {} of {} does not fit into 64 bits", to_string(shape),
                  to_string(dtype));
  const Device where = resolve(device);
  return core::backend(where).allocate(where.index(), *bytes);
}

template <typename To, typename From>
To converted(From value) {
  if constexpr (std::is_same_v<From, float16> || std::is_same_v<From, bfloat16>) {
    return converted<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, float16> || std::is_same_v<To, bfloat16>) {
    return To(core::to_odd(value));
  } else if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(value);
  } else {
    return core::to_integer<To>(value);
  }
}

}  // namespace

TensorView::TensorView(const void* data, const Shape& shape, DType dtype, Device device)
    : data_(data), shape_(shape), dtype_(dtype), device_(device) {
  expect_known(dtype);
  LAMELLA_EXPECTS(data != nullptr || shape.elements() == 0, argument, "[TensorView] data is null, {} has elements",
                  to_string(shape));
  const std::size_t past = reinterpret_cast<std::uintptr_t>(data) % size_of(dtype);
  LAMELLA_EXPECTS(
      past == 0, argument,
      "[TensorView] data of {} must be aligned to {} bytes, got an address misaligned by {}; copy the elements to aligned memory",
      to_string(dtype), size_of(dtype), past);
}

void TensorView::expect_elements(std::size_t found) const {
  LAMELLA_EXPECTS(found == static_cast<std::size_t>(shape_.elements()), shape, "[TensorView] the span has {} elements, {} has {}",
                  found, to_string(shape_), shape_.elements());
}

void TensorView::expect_host(DType wanted) const {
  LAMELLA_EXPECTS(wanted == dtype_, dtype, "[TensorView::span] requested {}, the elements are {}", to_string(wanted),
                  to_string(dtype_));
  LAMELLA_EXPECTS(core::is_host(device_), device,
                  "[TensorView::span] the elements are on {}; Tensor::to(Device::cpu()) copies them to the host",
                  to_string(device_));
}

TensorView TensorView::reshaped(const Shape& shape) const {
  LAMELLA_EXPECTS(shape.elements() == shape_.elements(), shape, "[TensorView::reshaped] {} has {} elements, {} has {}",
                  to_string(shape_), shape_.elements(), to_string(shape), shape.elements());
  return {data_, shape, dtype_, device_};
}

MutableTensorView MutableTensorView::reshaped(const Shape& shape) const {
  static_cast<void>(TensorView::reshaped(shape));  // checks
  return {mutable_data_, shape, dtype(), device()};
}

Tensor::Tensor(const Shape& shape, DType dtype, Device device) : owner_(allocate(device, shape, dtype)) {
  view_ = MutableTensorView(owner_.get(), shape, dtype, resolve(device));
}
Tensor::Tensor(Tensor&& other) noexcept : view_(std::exchange(other.view_, {})), owner_(std::move(other.owner_)) {}
Tensor& Tensor::operator=(Tensor&& other) noexcept {
  if (this != &other) {
    view_ = std::exchange(other.view_, {});
    owner_ = std::move(other.owner_);
  }
  return *this;
}
Tensor::~Tensor() = default;

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor result(shape, dtype, device);
  if (result.bytes() != 0) core::backend(result.device()).fill(result.device().index(), result.data(), 0, result.bytes());
  return result;
}

Tensor Tensor::copy_of(const TensorView& view) {
  Tensor result(view.shape(), view.dtype(), view.device());
  if (view.bytes() != 0) core::backend(result.device()).copy(result.device().index(), result.data(), view.data(), view.bytes());
  return result;
}

Tensor Tensor::adopt(void* data, const Shape& shape, DType dtype, Device device, std::shared_ptr<void> owner) {
  Tensor result;
  result.view_ = MutableTensorView(data, shape, dtype, device);
  result.owner_ = std::move(owner);
  return result;
}

Tensor Tensor::to(Device device) const {
  Tensor result(shape(), dtype(), device);
  if (bytes() == 0) return result;
  const Device at = core::is_host(result.device()) ? this->device() : result.device();
  core::backend(at).copy(at.index(), result.data(), data(), bytes());
  return result;
}

Tensor Tensor::to(DType wanted) const {
  LAMELLA_EXPECTS(core::is_host(device()), device, "[Tensor::to] conversion needs host memory, the elements are on {}",
                  to_string(device()));
  if (wanted == dtype()) return clone();
  const core::FloatEnvironment environment;  // so that rounding does not depend on the caller's
  Tensor result(shape(), wanted);
  core::visit_dtype(dtype(), [&](auto from) {
    core::visit_dtype(wanted, [&](auto to) {
      const auto src = span<decltype(from)>();
      const auto dst = result.span<decltype(to)>();
      for (std::size_t i = 0; i < src.size(); ++i) dst[i] = converted<decltype(to)>(src[i]);
    });
  });
  return result;
}

Tensor Tensor::reshaped(const Shape& shape) && {
  LAMELLA_EXPECTS(shape.elements() == view_.shape().elements(), shape, "[Tensor::reshaped] {} has {} elements, {} has {}",
                  to_string(view_.shape()), view_.shape().elements(), to_string(shape), shape.elements());
  Tensor result;
  result.view_ = MutableTensorView(view_.data(), shape, dtype(), device());
  result.owner_ = std::move(owner_);
  view_ = {};
  return result;
}

}  // namespace lamella
