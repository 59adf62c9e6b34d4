// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ranges>
#include <span>
#include <type_traits>

#include <lamella/device.hpp>
#include <lamella/dtype.hpp>
#include <lamella/export.hpp>
#include <lamella/shape.hpp>

namespace lamella {
namespace detail {

template <typename T>
concept IsElement = requires {
  dtype_of_type<std::remove_cv_t<T>>::value;
};

/// A contiguous range: a vector, an array, a span.
template <typename R>
concept Elements = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
    IsElement<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

/// A range that owns its elements: a vector, an array.
template <typename R>
concept Owner = Elements<R> && !std::ranges::enable_borrowed_range<std::remove_cv_t<R>>;

/// A range that borrows its elements: a span.
template <typename R>
concept Borrower = Elements<R> && std::ranges::enable_borrowed_range<R>;

template <typename P>
concept PointsToElements = std::is_pointer_v<std::remove_cvref_t<P>> && IsElement<std::remove_pointer_t<std::remove_cvref_t<P>>>;

template <typename R>
inline constexpr bool is_writable = !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

}  // namespace detail

/// Borrowed, read-only, contiguous row-major (C order) memory on one device. Does not own it: the memory must outlive the view.
class LAMELLA_API TensorView {
 public:
  TensorView() noexcept = default;  ///< no elements: shape (0,), float32, CPU
  /// `data` must hold shape.elements() elements of `dtype` on `device`, aligned to the size of one, and may be null only if there
  /// are none. Throws ArgumentError (argument; dtype: not a DType).
  TensorView(const void* data, const Shape& shape, DType dtype, Device device = Device::cpu());
  /// The caller's host memory: a std::vector, std::array or array that outlives the view and gives it its dtype. Temporaries do
  /// not compile. Throws ArgumentError (shape) if the number of elements is not that of `shape`.
  template <detail::Owner R>
  TensorView(R& data LAMELLA_LIFETIMEBOUND, const Shape& shape)
      : TensorView(std::ranges::data(data), shape, dtype_v<std::remove_cv_t<std::ranges::range_value_t<R>>>) {
    expect_elements(std::ranges::size(data));
  }
  /// The same for a span, which may be a temporary.
  template <detail::Borrower R>
  TensorView(R data, const Shape& shape)
      : TensorView(std::ranges::data(data), shape, dtype_v<std::remove_cv_t<std::ranges::range_value_t<R>>>) {
    expect_elements(std::ranges::size(data));
  }
  /// The same for a pointer to shape.elements() elements.
  template <detail::PointsToElements P>
  TensorView(P&& data, const Shape& shape)
      : TensorView(static_cast<const void*>(data), shape,
                   dtype_v<std::remove_cv_t<std::remove_pointer_t<std::remove_cvref_t<P>>>>) {}

  [[nodiscard]] const Shape& shape() const noexcept LAMELLA_LIFETIMEBOUND { return shape_; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] Device device() const noexcept { return device_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return static_cast<std::size_t>(shape_.elements()) * size_of(dtype_); }
  /// The address of the first element, in the memory of device().
  [[nodiscard]] const void* data() const noexcept { return data_; }
  /// The elements, on the CPU. Throws ArgumentError: dtype if T is not the element type, device if not host memory.
  template <typename T>
  [[nodiscard]] std::span<const T> span() const {
    expect_host(dtype_v<T>);
    return {static_cast<const T*>(data_), static_cast<std::size_t>(shape_.elements())};
  }
  /// The same elements in another shape. Throws ArgumentError (shape) if the numbers of elements differ.
  [[nodiscard]] TensorView reshaped(const Shape& shape) const;

 protected:
  void expect_elements(std::size_t found) const;
  void expect_host(DType wanted) const;

 private:
  const void* data_ = nullptr;
  Shape shape_{0};
  DType dtype_ = DType::float32;
  Device device_;
};

/// Borrowed, writable, contiguous row-major memory on one device. Never owns. As with std::span, the elements can be written
/// through a const view too.
class LAMELLA_API MutableTensorView : public TensorView {
 public:
  MutableTensorView() noexcept = default;  ///< no elements: shape (0,), float32, CPU
  /// As TensorView, and throws the same.
  MutableTensorView(void* data, const Shape& shape, DType dtype, Device device = Device::cpu())
      : TensorView(data, shape, dtype, device), mutable_data_(data) {}
  /// As TensorView, for elements that are not const.
  template <detail::Owner R>
  requires detail::is_writable<R> MutableTensorView(R& data LAMELLA_LIFETIMEBOUND, const Shape& shape)
      : MutableTensorView(std::ranges::data(data), shape, dtype_v<std::ranges::range_value_t<R>>) {
    expect_elements(std::ranges::size(data));
  }
  template <detail::Borrower R>
  requires detail::is_writable<R> MutableTensorView(R data, const Shape& shape)
      : MutableTensorView(std::ranges::data(data), shape, dtype_v<std::ranges::range_value_t<R>>) {
    expect_elements(std::ranges::size(data));
  }
  template <detail::PointsToElements P>
  requires(!std::is_const_v<std::remove_pointer_t<std::remove_cvref_t<P>>>) MutableTensorView(P&& data, const Shape& shape)
      : MutableTensorView(static_cast<void*>(data), shape, dtype_v<std::remove_pointer_t<std::remove_cvref_t<P>>>) {}

  [[nodiscard]] void* data() const noexcept { return mutable_data_; }
  /// As TensorView::span(), to be written.
  template <typename T>
  [[nodiscard]] std::span<T> span() const {
    expect_host(dtype_v<T>);
    return {static_cast<T*>(mutable_data_), static_cast<std::size_t>(shape().elements())};
  }
  /// As TensorView::reshaped().
  [[nodiscard]] MutableTensorView reshaped(const Shape& shape) const;

 private:
  void* mutable_data_ = nullptr;
};

/// Owns contiguous row-major (C order) memory on one device. Moved, never silently copied: a copy costs a transfer and is written
/// clone() or to(). A moved-from Tensor equals a default-constructed one.
///
/// Functions that copy return when the copy is complete. On a GPU they use a stream of lamella's and do not wait for yours: work
/// that writes the source must have ended. They throw what the first constructor throws.
class LAMELLA_API Tensor {
 public:
  Tensor() noexcept = default;  ///< no elements: shape (0,), float32, CPU
  /// Uninitialised memory, aligned to 64 bytes (256 on a GPU). Throws std::bad_alloc for host memory, Error
  /// (out_of_memory) for a device's, DeviceError.
  explicit Tensor(const Shape& shape, DType dtype = DType::float32, Device device = Device::cpu());
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor&& other) noexcept;
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  ~Tensor();

  /// Memory filled with zeros.
  [[nodiscard]] static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Device device = Device::cpu());
  /// A copy of host elements. Throws ArgumentError (shape) if the number of elements is not that of `shape`.
  template <typename T>
  [[nodiscard]] static Tensor of(std::span<const T> data, const Shape& shape) {
    return copy_of(TensorView(data, shape));
  }
  template <detail::Elements R>
  [[nodiscard]] static Tensor of(const R& data, const Shape& shape) {
    return copy_of(TensorView(std::span(data), shape));
  }
  /// A copy of a view's elements, on the same device.
  [[nodiscard]] static Tensor copy_of(const TensorView& view);
  /// Wraps existing memory without copying it, and keeps `owner` until the Tensor is destroyed. `data` as for TensorView, which
  /// says what is thrown.
  [[nodiscard]] static Tensor adopt(void* data, const Shape& shape, DType dtype, Device device, std::shared_ptr<void> owner);

  [[nodiscard]] const Shape& shape() const noexcept LAMELLA_LIFETIMEBOUND { return view_.shape(); }
  [[nodiscard]] DType dtype() const noexcept { return view_.dtype(); }
  [[nodiscard]] Device device() const noexcept { return view_.device(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return view_.bytes(); }
  [[nodiscard]] void* data() noexcept LAMELLA_LIFETIMEBOUND { return view_.data(); }
  [[nodiscard]] const void* data() const noexcept LAMELLA_LIFETIMEBOUND { return view_.data(); }
  /// The elements, on the CPU. Throws ArgumentError: dtype if T is not the element type, device if not host memory.
  template <typename T>
  [[nodiscard]] std::span<T> span() LAMELLA_LIFETIMEBOUND {
    return view_.span<T>();
  }
  template <typename T>
  [[nodiscard]] std::span<const T> span() const LAMELLA_LIFETIMEBOUND {
    return view_.span<T>();
  }
  [[nodiscard]] TensorView view() const noexcept LAMELLA_LIFETIMEBOUND { return view_; }
  [[nodiscard]] MutableTensorView view() noexcept LAMELLA_LIFETIMEBOUND { return view_; }
  // Passing a Tensor is the point.
  operator TensorView() const noexcept LAMELLA_LIFETIMEBOUND { return view_; }   // NOLINT(google-explicit-constructor)
  operator TensorView() noexcept LAMELLA_LIFETIMEBOUND { return view_; }         // NOLINT(google-explicit-constructor)
  operator MutableTensorView() noexcept LAMELLA_LIFETIMEBOUND { return view_; }  // NOLINT(google-explicit-constructor)

  /// A deep copy on the same device.
  [[nodiscard]] Tensor clone() const { return copy_of(view_); }
  /// A copy on `device`; `*this` may be destroyed at once.
  [[nodiscard]] Tensor to(Device device) const;
  /// A converted copy of host memory. To a floating type: rounded to nearest even. To an integer, as Keras does on JAX: floating
  /// values are truncated towards zero and clamped, NaN becomes 0; integers keep their low bits. To bool: everything except zero
  /// is true. Throws ArgumentError (device) when not on the CPU.
  [[nodiscard]] Tensor to(DType dtype) const;
  /// The same memory in another shape; `*this` is left empty. Throws ArgumentError (shape), and then changes nothing.
  [[nodiscard]] Tensor reshaped(const Shape& shape) &&;

 private:
  MutableTensorView view_;
  std::shared_ptr<void> owner_;
};

}  // namespace lamella
