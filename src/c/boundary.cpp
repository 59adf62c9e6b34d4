// SPDX-License-Identifier: Apache-2.0
#include "c/boundary.hpp"

#include <array>
#include <cstdlib>
#include <new>

#include "c/structs.hpp"

namespace lamella::c {
namespace {

lamella_error out_of_memory{"E_OUT_OF_MEMORY", nullptr};

lamella_error* made(ErrorCode code, const char* message) noexcept {
  auto* const error = new (std::nothrow) lamella_error;
  char* const text = error == nullptr ? nullptr : ::strdup(message);
  if (text == nullptr) {
    delete error;
    return &out_of_memory;
  }
  error->code = to_string(code).data();
  error->message = text;
  return error;
}

/// In the order of the numbers in lamella.h.
constexpr std::array kNumbered{DType::float32, DType::float16, DType::bfloat16, DType::float64, DType::int8,
                               DType::int16,   DType::int32,   DType::int64,    DType::uint8,   DType::uint16,
                               DType::uint32,  DType::uint64,  DType::boolean};
static_assert(LAMELLA_FLOAT32 == 0 && LAMELLA_FLOAT64 == 3 && LAMELLA_INT8 == 4 && LAMELLA_INT64 == 7 && LAMELLA_UINT8 == 8 &&
              LAMELLA_UINT64 == 11 && LAMELLA_BOOL == kNumbered.size() - 1);
static_assert(LAMELLA_MAX_RANK == Shape::kMaxRank);

/// Whether the strides are those of C order; the stride of an axis with at most one element does not matter.
bool is_plain(const Shape& shape, const std::int64_t* strides) {
  if (shape.elements() == 0) return true;
  std::int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    if (shape[axis] != 1 && strides[axis] != step) return false;
    step *= shape[axis];
  }
  return true;
}

/// Every distance from the first element has to fit, in bytes.
void expect_reachable(const Array& array, const Where& where) {
  const auto width = static_cast<std::int64_t>(size_of(array.dtype));
  std::int64_t lowest = 0;
  std::int64_t highest = 0;
  bool fits = true;
  for (int axis = 0; axis < array.shape.rank(); ++axis) {
    std::int64_t far = 0;
    fits = fits && !__builtin_mul_overflow(array.strides[static_cast<std::size_t>(axis)], width, &far) &&
           !__builtin_mul_overflow(far, array.shape[axis] - 1, &far) &&
           !__builtin_add_overflow(far < 0 ? lowest : highest, far, far < 0 ? &lowest : &highest);
  }
  LAMELLA_EXPECTS(fits, overflow, "{}: its strides reach past the end of the address space", where.text());
}

/// Calls f(offset) with the offset of each element, counted in elements, in C order.
template <typename F>
void each_place(const Array& array, const F& f) {
  std::array<std::int64_t, Shape::kMaxRank> at{};
  std::int64_t offset = 0;
  for (std::int64_t n = array.shape.elements(); n > 0; --n) {
    f(offset);
    for (int axis = array.shape.rank() - 1; axis >= 0; --axis) {
      const auto a = static_cast<std::size_t>(axis);
      offset += array.strides[a];
      if (++at[a] < array.shape[axis]) break;
      offset -= array.strides[a] * array.shape[axis];
      at[a] = 0;
    }
  }
}

}  // namespace

lamella_error* caught() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return made(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return &out_of_memory;
  } catch (const std::exception& error) {
    return made(ErrorCode::internal, error.what());
  } catch (...) {
    return made(ErrorCode::internal, "an exception of unknown type [E_INTERNAL]");
  }
}

std::int32_t number_of(DType dtype) noexcept {
  std::int32_t number = 0;
  while (kNumbered[static_cast<std::size_t>(number)] != dtype) ++number;
  return number;
}

Array array_of(const lamella_tensor* tensors, std::size_t i, const Where& where) {
  const lamella_tensor tensor = read_struct(tensors, i, where);
  LAMELLA_EXPECTS(tensor.ndim >= 1 && tensor.ndim <= LAMELLA_MAX_RANK, shape, "{}: ndim: got {}, allowed 1..{}", where.text(),
                  tensor.ndim, LAMELLA_MAX_RANK);
  LAMELLA_EXPECTS(tensor.shape != nullptr, argument, "{}: shape: got NULL", where.text());
  LAMELLA_EXPECTS(tensor.device_type == LAMELLA_CPU || tensor.device_type == LAMELLA_CUDA, device,
                  "{}: device_type: got {}, allowed 1 (CPU), 2 (CUDA)", where.text(), tensor.device_type);
  Array array;
  array.data = tensor.data;
  array.shape = Shape(std::span(tensor.shape, static_cast<std::size_t>(tensor.ndim)));
  LAMELLA_EXPECTS(tensor.dtype >= 0 && static_cast<std::size_t>(tensor.dtype) < kNumbered.size(), dtype,
                  "{}: dtype: got {}, allowed 0..{}", where.text(), tensor.dtype, kNumbered.size() - 1);
  array.dtype = kNumbered[static_cast<std::size_t>(tensor.dtype)];
  array.device = tensor.device_type == LAMELLA_CPU ? Device::cpu() : Device::cuda(tensor.device_index);
  LAMELLA_EXPECTS(array.data != nullptr || array.shape.elements() == 0, argument, "{}: data: got NULL", where.text());
  if (tensor.strides != nullptr && !is_plain(array.shape, tensor.strides)) {
    array.strides.assign(tensor.strides, tensor.strides + tensor.ndim);
    expect_reachable(array, where);
  }
  return array;
}

void gather(const Array& from, void* to) {
  const std::size_t width = size_of(from.dtype);
  const auto* const first = static_cast<const std::byte*>(from.data);
  auto* next = static_cast<std::byte*>(to);
  each_place(from, [&](std::int64_t place) {
    std::memcpy(next, first + place * static_cast<std::int64_t>(width), width);
    next += width;
  });
}

void scatter(const void* from, const Array& to) {
  const std::size_t width = size_of(to.dtype);
  auto* const first = static_cast<std::byte*>(to.data);
  const auto* next = static_cast<const std::byte*>(from);
  each_place(to, [&](std::int64_t place) {
    std::memcpy(first + place * static_cast<std::int64_t>(width), next, width);
    next += width;
  });
}

std::vector<Array> checked_arrays(const lamella_tensor* tensors, std::size_t count, const std::vector<lamella_model::Port>& ports,
                                  const char* kind, const char* function) {
  LAMELLA_EXPECTS(count == ports.size(), argument, "[{}] the model has {} {}s, got {}", function, ports.size(), kind, count);
  expect(tensors, function, kind);
  std::vector<Array> arrays;
  for (std::size_t i = 0; i < count; ++i) {
    const Where where{function, kind, ports[i].name};
    arrays.push_back(array_of(tensors, i, where));
    LAMELLA_EXPECTS(arrays[i].dtype == ports[i].dtype, dtype, "{}: got {}, the model has {}", where.text(),
                    to_string(arrays[i].dtype), to_string(ports[i].dtype));
  }
  return arrays;
}

std::vector<TensorView> host_views(const std::vector<Array>& arrays, std::vector<Tensor>& plain) {
  std::vector<TensorView> views;
  for (const Array& array : arrays) {
    if (array.strides.empty()) {
      views.emplace_back(array.data, array.shape, array.dtype);
      continue;
    }
    gather(array, plain.emplace_back(array.shape, array.dtype).data());
    views.push_back(plain.back().view());
  }
  return views;
}

}  // namespace lamella::c

const char* lamella_error_code(const lamella_error* error) { return error == nullptr ? "" : error->code; }

const char* lamella_error_message(const lamella_error* error) {
  if (error == nullptr) return "";
  return error->message != nullptr ? error->message : "host memory ran out [E_OUT_OF_MEMORY]";
}

void lamella_error_free(lamella_error* error) {
  if (error == nullptr || error->message == nullptr) return;
  std::free(error->message);
  delete error;
}

void lamella_string_free(char* text) { std::free(text); }
