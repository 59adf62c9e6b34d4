// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/ndarray.h>

#include <optional>
#include <utility>

#include "binding.hpp"

namespace lamella::python {

/// A NumPy array that is C-contiguous, aligned, of native byte order and of a dtype that lamella has.
class HostArray {
 public:
  /// Nothing if it is not such an array, or is read-only but must be written to.
  static std::optional<HostArray> of(nb::handle array, bool writable);
  [[nodiscard]] TensorView view() const { return {data_, shape_, dtype_}; }
  [[nodiscard]] MutableTensorView mutable_view() const { return {data_, shape_, dtype_}; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] std::int64_t rows() const { return shape_.rank() == 0 ? 0 : *shape_.begin(); }

 private:
  HostArray(nb::object array, void* data, const Shape& shape, DType dtype)
      : array_(std::move(array)), data_(data), shape_(shape), dtype_(dtype) {}
  nb::object array_;
  void* data_;
  Shape shape_;
  DType dtype_;
};

/// True for a numpy.ndarray, false for its subclasses, which may mean more than their memory.
[[nodiscard]] bool is_plain(nb::handle object);
/// Imports NumPy; must be called before the functions that use it. Throws what the import throws.
void import_numpy();
/// numpy.empty((rows, *sample), dtype).
[[nodiscard]] nb::object empty_numpy(std::int64_t rows, const ArrayInfo& info);

/// A NumPy array of this memory, which `owner` keeps alive; bfloat16, which NumPy lacks, becomes a float32 copy.
[[nodiscard]] nb::object numpy_view(const TensorView& view, nb::handle owner);
/// A NumPy array that owns the tensor's memory.
[[nodiscard]] nb::object to_numpy(Tensor tensor);
/// An object with __dlpack__, and the buffer interface on the host, that owns the tensor's memory.
[[nodiscard]] nb::object to_dlpack(Tensor tensor);

using AnyArray = nb::ndarray<nb::ro>;
/// The memory of an object with __dlpack__, or of a capsule. Throws TypeError, ArgumentError (dtype, argument: not contiguous,
/// device: neither host nor CUDA).
[[nodiscard]] TensorView dlpack_view(const AnyArray& array);

}  // namespace lamella::python
