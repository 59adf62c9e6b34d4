// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "tests/ptx/float_numbers.hpp"
#include "tests/ptx/lanewise.hpp"

/// mma.sync: D = A B + C by the whole warp. Products are exact. By default their sum with C is exact too, except for the last
/// bits of a float64, and rounded once to nearest. With inexact approximations it is summed as others have found tensor cores to
/// do: eight products at a time, each truncated to the last float32 bit of the largest among them and the sum so far.
namespace ptx {
namespace {

constexpr unsigned kRows = 16;
constexpr unsigned kInner = 16;
constexpr unsigned kTogether = 8;

using Operand = std::array<std::array<f64, kInner>, kRows>;  // for B, the first eight rows hold its columns

f32 cut(f64 x) {
  const auto nearest = static_cast<f32>(x);
  return std::fabs(f64{nearest}) > std::fabs(x) ? std::nextafter(nearest, 0.0F) : nearest;
}

f32 sum_of_cut(const std::array<f64, kTogether>& products, f32 before) {
  f64 plain = before;
  int exponent = before != 0 ? std::ilogb(f64{before}) : -149;
  for (const f64 product : products) {
    plain += product;
    if (product != 0) exponent = std::max(exponent, std::ilogb(product));
  }
  if (!std::isfinite(plain)) return canonical(static_cast<f32>(plain));
  const int last = std::max(exponent - 23, -149);
  f64 sum = before;  // complete: the sum is exact
  for (const f64 product : products) sum += std::ldexp(std::trunc(std::ldexp(product, -last)), last);
  return cut(std::ldexp(std::trunc(std::ldexp(sum, -last)), last));
}

f32 sum_of(const std::array<f64, kInner>& a, const std::array<f64, kInner>& b, f32 c, bool cuts) {
  if (!cuts) {
    f64 sum = c;
    for (unsigned k = 0; k < kInner; ++k) sum += a[k] * b[k];
    return canonical(static_cast<f32>(sum));
  }
  for (unsigned first = 0; first < kInner; first += kTogether) {
    std::array<f64, kTogether> products{};
    for (unsigned k = 0; k < kTogether; ++k) products[k] = a[first + k] * b[first + k];
    c = sum_of_cut(products, c);
  }
  return c;
}

void expect_all(Warp& warp, const Instruction& in, u32 lanes) {
  if (lanes != kAllLanes)
    warp.report(Fault::lanes, in, static_cast<unsigned>(std::countr_zero(lanes)), "a product that not all lanes come to");
}

/// Lane 4g + t has rows g and g + 8 of A and column g of B; a register has two elements with k = 2t and 2t + 1, or 2t + 8 and
/// 2t + 9, the lower k in the lower half. Of C and D it has columns 2t and 2t + 1 of rows g and g + 8.
template <int kSignificand, int kExponent>
void multiply(Warp& warp, const Instruction& in, u32 lanes) {
  expect_all(warp, in, lanes);
  const auto elements = [&](std::size_t operand, unsigned lane) {
    const u32 bits = warp.lanes<u32>(in.from[operand])[lane];
    return std::array<f64, 2>{decode<kSignificand, kExponent>(static_cast<u16>(bits)),
                              decode<kSignificand, kExponent>(static_cast<u16>(bits >> 16))};
  };
  Operand a{};
  Operand b{};
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const unsigned row = lane / 4;
    const unsigned k = lane % 4 * 2;
    for (unsigned half = 0; half < 2; ++half) {
      for (unsigned high = 0; high < 2; ++high) {
        a[row + 8 * half][k + 8 * high] = elements(half + 2 * high, lane)[0];
        a[row + 8 * half][k + 8 * high + 1] = elements(half + 2 * high, lane)[1];
      }
      b[row][k + 8 * half] = elements(4 + half, lane)[0];
      b[row][k + 8 * half + 1] = elements(4 + half, lane)[1];
    }
  }
  const bool cuts = warp.block.grid.how.approximation_error > 0;
  each_lane(lanes, [&](unsigned lane) {
    std::array<f32, 4> results{};
    for (unsigned i = 0; i < 4; ++i)
      results[i] = sum_of(a[lane / 4 + i / 2 * 8], b[lane % 4 * 2 + i % 2], warp.lanes<f32>(in.from[6 + i])[lane], cuts);
    for (unsigned i = 0; i < 4; ++i) warp.lanes<f32>(in.to[i])[lane] = results[i];
  });
}

/// The same of integers of 8 bits, whose sums wrap around, for 8 or 16 rows and an inner extent of twice that. A register has the
/// elements with k = 4t to 4t + 3, or to 4t + 19 from 4t + 16 on, the lowest k in the lowest byte.
template <unsigned kHalves>
void multiply_integers(Warp& warp, const Instruction& in, u32 lanes) {
  expect_all(warp, in, lanes);
  constexpr unsigned kRegistersOfA = kHalves * kHalves;
  constexpr unsigned kBytes = 16 * kHalves;
  std::array<std::array<s32, kBytes>, kRows> a{};
  std::array<std::array<s32, kBytes>, kRows> b{};
  const auto unpack = [&](std::array<s32, kBytes>& to, unsigned high, std::size_t operand, unsigned lane) {
    const u32 bits = warp.lanes<u32>(in.from[operand])[lane];
    for (unsigned byte = 0; byte < 4; ++byte) to[lane % 4 * 4 + 16 * high + byte] = static_cast<s8>(bits >> (8 * byte));
  };
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    for (unsigned high = 0; high < kHalves; ++high) {
      for (unsigned half = 0; half < kHalves; ++half) unpack(a[lane / 4 + 8 * half], high, half + kHalves * high, lane);
      unpack(b[lane / 4], high, kRegistersOfA + high, lane);
    }
  }
  each_lane(lanes, [&](unsigned lane) {
    std::array<u32, 2 * kHalves> results{};
    for (unsigned i = 0; i < results.size(); ++i) {
      results[i] = warp.lanes<u32>(in.from[kRegistersOfA + kHalves + i])[lane];
      const auto& row = a[lane / 4 + i / 2 * 8];
      const auto& column = b[lane % 4 * 2 + i % 2];
      for (unsigned k = 0; k < kBytes; ++k) results[i] += static_cast<u32>(row[k] * column[k]);
    }
    for (unsigned i = 0; i < results.size(); ++i) warp.lanes<u32>(in.to[i])[lane] = results[i];
  });
}

template <unsigned kHalves>
Form integer_product() {
  return {.run = &multiply_integers<kHalves>,
          .to = std::vector<Role>(2 * kHalves, Role::b32),
          .from = std::vector<Role>(kHalves * kHalves + kHalves + 2 * kHalves, Role::b32)};
}

template <int kSignificand, int kExponent>
Form product() {
  return {.run = &multiply<kSignificand, kExponent>,
          .to = {Role::b32, Role::b32, Role::b32, Role::b32},
          .from = std::vector<Role>(10, Role::b32)};
}

}  // namespace

void matrix_forms(Table& table) {
  table["mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"] = product<10, 5>();
  table["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"] = product<7, 8>();
  table["mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32"] = integer_product<2>();
  table["mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32"] = integer_product<1>();
}

}  // namespace ptx
