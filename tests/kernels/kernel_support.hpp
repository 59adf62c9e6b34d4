// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>

#include <lamella/dtype.hpp>

#include "core/visit_dtype.hpp"
#include "kernels/kernels.hpp"
#include "tests/kernels/allocation.hpp"

namespace lamella::test {

inline constexpr std::array<DType, 4> kFloating = {DType::float32, DType::float16, DType::bfloat16, DType::float64};
inline constexpr std::array<std::int64_t, 10> kSizes = {0, 1, 3, 7, 31, 33, 127, 129, 1027, 5001};

/// The compute type.
inline DType compute_of(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

/// Significant bits and the smallest normal exponent.
struct Format {
  int digits;
  int lowest;
  double largest;
};
inline Format format_of(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return {11, -14, 65504.0};
    case DType::bfloat16:
      return {8, -126, 0x1.FEp127};
    case DType::float64:
      return {53, -1022, std::numeric_limits<double>::max()};
    default:
      return {24, -126, 0x1.FFFFFEp127};
  }
}

/// The distance between neighbouring numbers at x.
inline double spacing(DType dtype, double x) {
  const Format format = format_of(dtype);
  const int exponent = x == 0 || !std::isfinite(x) ? format.lowest : std::max(std::ilogb(x), format.lowest);
  return std::ldexp(1.0, exponent - format.digits + 1);
}

/// Whether y could be the truth, computed with an error of at most `error` and then rounded to a dtype.
inline bool is_rounded(double y, double truth, DType dtype, double error) {
  if (std::isnan(truth) || std::isnan(y)) return std::isnan(truth) && std::isnan(y);
  if (std::isinf(truth)) return y == truth;
  const double largest = format_of(dtype).largest;
  if (std::isinf(y))
    return std::fabs(truth) + error >= largest + spacing(dtype, largest) / 2 && std::signbit(y) == std::signbit(truth);
  const double half = dtype == compute_of(dtype) ? 0 : spacing(dtype, std::max(std::fabs(y), std::fabs(truth))) / 2;
  return std::fabs(y - truth) <= half + error;
}

/// Elements in memory that is aligned to exactly one element (unless `aligned`), between bytes that must not change. Unwritten
/// elements are NaN.
class Buffer {
 public:
  Buffer(std::int64_t elements, DType dtype, bool aligned = false)
      : Buffer(static_cast<std::size_t>(elements), dtype, aligned, false) {}
  Buffer(const std::vector<double>& values, DType dtype, bool aligned = false) : Buffer(values.size(), dtype, aligned, true) {
    for (std::size_t i = 0; i < values.size(); ++i) put(i, values[i]);
  }

  [[nodiscard]] void* data() { return bytes_.data() + offset_; }
  [[nodiscard]] std::size_t size() const { return elements_ * size_of(dtype_); }
  [[nodiscard]] double operator[](std::size_t i) const {
    const unsigned char* at = bytes_.data() + offset_ + i * size_of(dtype_);
    double value = 0;
    core::visit_dtype(dtype_, [&](auto type) {
      using T = decltype(type);
      if constexpr (std::is_arithmetic_v<T>) {
        value = static_cast<double>(read<T>(at));
      } else {
        value = static_cast<double>(static_cast<float>(read<T>(at)));
      }
    });
    return value;
  }
  [[nodiscard]] std::vector<double> values() const {
    std::vector<double> result(elements_);
    for (std::size_t i = 0; i < elements_; ++i) result[i] = (*this)[i];
    return result;
  }
  /// Whether an element still has its initial bits.
  [[nodiscard]] bool untouched(std::size_t i) const {
    const auto first = bytes_.begin() + static_cast<std::ptrdiff_t>(offset_ + i * size_of(dtype_));
    return std::all_of(first, first + static_cast<std::ptrdiff_t>(size_of(dtype_)),
                       [](unsigned char byte) { return byte == 0xFF; });
  }
  /// Whether nothing before or after the elements was written.
  [[nodiscard]] bool guarded() const {
    const auto clean = [](auto first, auto last) {
      return std::all_of(first, last, [](unsigned char byte) { return byte == 0xFF; });
    };
    const auto first = bytes_.begin() + static_cast<std::ptrdiff_t>(offset_);
    return clean(bytes_.begin(), first) && clean(first + static_cast<std::ptrdiff_t>(size()), bytes_.end());
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr std::size_t kAlignment = 64;

  Buffer(std::size_t elements, DType dtype, bool aligned, bool written)
      : dtype_(dtype),
        elements_(elements),
        bytes_(size() + kGuard * 2 + kAlignment, 0xFF),
        offset_(first(bytes_.data()) + (aligned ? 0 : size_of(dtype))),
        allocation_(data(), size(), written) {}
  static std::size_t first(const unsigned char* bytes) {
    return kGuard + (kAlignment - (reinterpret_cast<std::uintptr_t>(bytes) + kGuard) % kAlignment) % kAlignment;
  }

  template <typename T>
  static T read(const unsigned char* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
  }
  template <typename T>
  void write(std::size_t i, T value) {
    std::memcpy(bytes_.data() + offset_ + i * sizeof(T), &value, sizeof(T));
  }
  void put(std::size_t i, double value) {
    core::visit_dtype(dtype_, [&](auto type) {
      using T = decltype(type);
      if constexpr (std::is_arithmetic_v<T>) {
        write(i, static_cast<T>(value));
      } else {
        write(i, T(static_cast<float>(value)));
      }
    });
  }

  DType dtype_;
  std::size_t elements_;
  std::vector<unsigned char> bytes_;
  std::size_t offset_;
  Allocation allocation_;
};

inline std::vector<double> random_values(std::int64_t n, unsigned seed, double width = 1.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, width);
  std::vector<double> values(static_cast<std::size_t>(n));
  std::generate(values.begin(), values.end(), [&] { return normal(generator); });
  return values;
}

/// Random values, rounded to a dtype.
inline std::vector<double> random_values(std::int64_t n, unsigned seed, DType dtype, double width = 1.0) {
  return Buffer(random_values(n, seed, width), dtype).values();
}

}  // namespace lamella::test
