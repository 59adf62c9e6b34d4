// SPDX-License-Identifier: Apache-2.0
#include <lamella/dtype.hpp>

#include <iterator>
#include <utility>

#include "core/check.hpp"

namespace lamella {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  std::size_t size;
};
constexpr DTypeRow kDTypes[] = {
#define LAMELLA_DTYPE(enumerator, name, type) {DType::enumerator, name, sizeof(type)},
#include <lamella/dtype.def>
};

}  // namespace

std::size_t size_of(DType dtype) noexcept {
  const auto row = static_cast<std::size_t>(dtype);
  return row < std::size(kDTypes) ? kDTypes[row].size : 0;
}
std::string_view to_string(DType dtype) noexcept {
  const auto row = static_cast<std::size_t>(dtype);
  return row < std::size(kDTypes) ? kDTypes[row].name : "no dtype";
}

DType dtype_of(std::string_view name) {
  std::string known;
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return row.dtype;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  core::throw_argument(ErrorCode::dtype, core::format("dtype: got '{}', allowed {}", core::escaped(name), known));
}

float16::float16(float value) noexcept {
  const auto u = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (u >> 16U) & 0x8000U;
  const std::uint32_t magnitude = u & 0x7FFF'FFFFU;
  std::uint32_t result = 0;
  if (magnitude > 0x7F80'0000U) {
    result = 0x7E00U | ((magnitude >> 13U) & 0x3FFU);  // a quiet NaN, its upper payload kept
  } else if (magnitude >= 0x477F'F000U) {
    result = 0x7C00U;  // 65520 and more round to infinity
  } else if (magnitude < 0x3880'0000U) {
    // Subnormal: adding 0.5 puts the last bit of the result in the last bit of the sum, rounded to nearest even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    result = std::bit_cast<std::uint32_t>(shifted) - 0x3F00'0000U;
  } else {
    const std::uint32_t odd = (magnitude >> 13U) & 1U;
    result = (magnitude - 0x3800'0000U + 0xFFFU + odd) >> 13U;
  }
  bits = static_cast<std::uint16_t>(sign | result);
}

float16::operator float() const noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
  const std::uint32_t exponent = (bits >> 10U) & 0x1FU;
  const std::uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  const std::uint32_t widened = exponent == 31 ? 0xFFU : exponent + 112U;
  return std::bit_cast<float>(sign | (widened << 23U) | (mantissa << 13U));
}

}  // namespace lamella
