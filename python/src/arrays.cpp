// SPDX-License-Identifier: Apache-2.0
#include "arrays.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>

namespace lamella::python {
namespace {

std::optional<DType> dtype_from(int number) {
  switch (number) {
    case NPY_FLOAT32:
      return DType::float32;
    case NPY_FLOAT64:
      return DType::float64;
    case NPY_FLOAT16:
      return DType::float16;
    case NPY_BOOL:
      return DType::boolean;
    case NPY_BYTE:
      return DType::int8;
    case NPY_SHORT:
      return DType::int16;
    case NPY_INT:
      return DType::int32;
    case NPY_LONG:
    case NPY_LONGLONG:
      return DType::int64;
    case NPY_UBYTE:
      return DType::uint8;
    case NPY_USHORT:
      return DType::uint16;
    case NPY_UINT:
      return DType::uint32;
    case NPY_ULONG:
    case NPY_ULONGLONG:
      return DType::uint64;
    default:
      return std::nullopt;
  }
}
static_assert(sizeof(long) == 8);

int number_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return NPY_FLOAT32;
    case DType::float64:
      return NPY_FLOAT64;
    case DType::float16:
      return NPY_FLOAT16;
    case DType::boolean:
      return NPY_BOOL;
    case DType::int8:
      return NPY_INT8;
    case DType::int16:
      return NPY_INT16;
    case DType::int32:
      return NPY_INT32;
    case DType::int64:
      return NPY_INT64;
    case DType::uint8:
      return NPY_UINT8;
    case DType::uint16:
      return NPY_UINT16;
    case DType::uint32:
      return NPY_UINT32;
    case DType::uint64:
      return NPY_UINT64;
    case DType::bfloat16:
      break;
  }
  throw Error(ErrorCode::internal, "NumPy has no bfloat16");
}

nb::dlpack::dtype dlpack_dtype(DType dtype) {
  using nb::dlpack::dtype_code;
  const auto bits = static_cast<std::uint8_t>(size_of(dtype) * 8);
  const auto make = [bits](dtype_code code) { return nb::dlpack::dtype{static_cast<std::uint8_t>(code), bits, 1}; };
  switch (dtype) {
    case DType::boolean:
      return make(dtype_code::Bool);
    case DType::bfloat16:
      return make(dtype_code::Bfloat);
    case DType::float16:
    case DType::float32:
    case DType::float64:
      return make(dtype_code::Float);
    case DType::int8:
    case DType::int16:
    case DType::int32:
    case DType::int64:
      return make(dtype_code::Int);
    case DType::uint8:
    case DType::uint16:
    case DType::uint32:
    case DType::uint64:
      return make(dtype_code::UInt);
  }
  return {};
}

constexpr std::int32_t kHost = 1;  // DLPack's numbers
constexpr std::int32_t kCuda = 2;
constexpr std::int32_t kPinned = 3;

template <typename... Kind>
nb::object array_of(const TensorView& view, nb::handle owner) {
  std::array<std::size_t, Shape::kMaxRank> extents{};
  std::copy(view.shape().begin(), view.shape().end(), extents.begin());
  // Kind says whether the array is read-only.
  void* const data = const_cast<void*>(view.data());
  const bool cuda = view.device().is_cuda();
  return nb::cast(nb::ndarray<Kind...>(data, static_cast<std::size_t>(view.shape().rank()), extents.data(), owner, nullptr,
                                       dlpack_dtype(view.dtype()), cuda ? kCuda : kHost, cuda ? view.device().index() : 0),
                  nb::rv_policy::reference);
}

nb::capsule owner_of(Tensor tensor, TensorView& view) {
  auto kept = std::make_unique<Tensor>(std::move(tensor));
  view = std::as_const(*kept).view();
  nb::capsule owner(kept.get(), [](void* pointer) noexcept { delete static_cast<Tensor*>(pointer); });
  static_cast<void>(kept.release());
  return owner;
}

}  // namespace

void import_numpy() {
  if (PyArray_ImportNumPyAPI() < 0) throw nb::python_error();
}

bool is_plain(nb::handle object) { return PyArray_CheckExact(object.ptr()); }

std::optional<HostArray> HostArray::of(nb::handle object, bool writable) {
  if (PyArray_Check(object.ptr()) == 0) return std::nullopt;
  auto* const array = reinterpret_cast<PyArrayObject*>(object.ptr());
  const auto dtype = dtype_from(PyArray_TYPE(array));
  if (!dtype || !PyArray_IS_C_CONTIGUOUS(array) || !PyArray_ISALIGNED(array) || !PyArray_ISNOTSWAPPED(array)) return std::nullopt;
  if (writable && !PyArray_ISWRITEABLE(array)) return std::nullopt;
  const std::span<const std::int64_t> extents(PyArray_DIMS(array), static_cast<std::size_t>(PyArray_NDIM(array)));
  return HostArray(nb::borrow(object), PyArray_DATA(array), Shape(extents), *dtype);
}

nb::object empty_numpy(std::int64_t rows, const ArrayInfo& info) {
  std::array<npy_intp, Shape::kMaxRank + 1> extents{rows};
  std::copy(info.sample.begin(), info.sample.end(), extents.begin() + 1);
  PyObject* const made = PyArray_SimpleNew(static_cast<int>(info.sample.size()) + 1, extents.data(), number_of(info.dtype));
  if (made == nullptr) throw nb::python_error();
  return nb::steal(made);
}

nb::object numpy_view(const TensorView& view, nb::handle owner) {
  if (view.dtype() == DType::bfloat16) return to_numpy(Tensor::copy_of(view).to(DType::float32));
  return array_of<nb::numpy, nb::ro>(view, owner);
}

nb::object to_numpy(Tensor tensor) {
  if (tensor.dtype() == DType::bfloat16) tensor = tensor.to(DType::float32);
  TensorView view;
  const nb::capsule owner = owner_of(std::move(tensor), view);
  return array_of<nb::numpy>(view, owner);
}

nb::object to_dlpack(Tensor tensor) {
  TensorView view;
  const nb::capsule owner = owner_of(std::move(tensor), view);
  return array_of<nb::array_api>(view, owner);
}

TensorView dlpack_view(const AnyArray& array) {
  std::vector<std::int64_t> extents;
  std::int64_t step = 1;
  bool contiguous = true;
  for (std::size_t i = array.ndim(); i-- > 0;) {
    const auto extent = static_cast<std::int64_t>(array.shape(i));
    contiguous = contiguous && (extent <= 1 || array.stride(i) == step);
    step *= extent;
    extents.insert(extents.begin(), extent);
  }
  if (!contiguous && array.size() != 0)
    throw ArgumentError(ErrorCode::argument, "array: got a strided array, allowed are C-contiguous ones");
  Device device;
  if (array.device_type() == kCuda)
    device = Device::cuda(array.device_id());
  else if (array.device_type() != kHost && array.device_type() != kPinned)
    throw ArgumentError(ErrorCode::device, "array: is on DLPack device " + std::to_string(array.device_type()) +
                                               ", allowed are host memory (1, 3) and CUDA (2)");
#define LAMELLA_DTYPE(enumerator, name, type) \
  if (array.dtype() == dlpack_dtype(DType::enumerator)) return {array.data(), Shape(extents), DType::enumerator, device};
#include <lamella/dtype.def>
  throw ArgumentError(ErrorCode::dtype, "array: its DLPack type code " + std::to_string(array.dtype().code) + " of " +
                                            std::to_string(array.dtype().bits) + " bits is not supported");
}

}  // namespace lamella::python
