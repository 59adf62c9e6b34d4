// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/predicted.hpp"

#include <algorithm>

#include "cpu/simd.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

constexpr std::int64_t kRowsToDivide = 128;  ///< with fewer rows of float32, oneDNN stays on one thread

/// What one thread does in a nanosecond.
struct Rates {
  double panels;          ///< multiply-adds
  double onednn;          ///< the same
  double panel_elements;  ///< elements of the kernel read
  double onednn_elements;
};

bool has_bfloat16_instructions() {
#if defined(__x86_64__)
  static const bool has = best_isa() == Isa::avx512 && __builtin_cpu_supports("avx512bf16") != 0;
  return has;
#else
  return false;
#endif
}

Rates rates_for(DType dtype) {
  if (dtype == DType::bfloat16 && has_bfloat16_instructions()) return {85, 200, 25, 50};
#if defined(__x86_64__)
  switch (best_isa()) {
    case Isa::avx512:
      return {100, 103, 25, 25};
    case Isa::avx2:
      return {50, 37, 25, 20};  // oneDNN packs the kernel at every call
    case Isa::generic:
      break;
  }
  return {12, 16, 8, 8};
#else
  return {12, 6, 8, 4};  // oneDNN's products are made for x86
#endif
}

/// `call`: microseconds of any call.
double predicted_us(const ops::DenseDesc& d, double call, double multiply_adds, double elements, int threads) {
  const double kernel = static_cast<double>(d.inputs) * static_cast<double>(d.units);
  const double nanoseconds = std::max(static_cast<double>(d.batch) * kernel / multiply_adds, kernel / elements);
  return call + nanoseconds / worth(threads, nanoseconds).threads * 1e-3;
}

}  // namespace

double predicted_panels_us(const ops::DenseDesc& d, int threads) {
  const Rates rates = rates_for(d.dtype);
  return predicted_us(d, 0.2, rates.panels, rates.panel_elements, threads);
}

double predicted_onednn_us(const ops::DenseDesc& d, int threads) {
  const Rates rates = rates_for(d.dtype);
  // With several threads, a team of OpenMP's has to wait for the slowest, and loses what the product gains.
  if (d.dtype != DType::bfloat16 && threads > 1)
    return predicted_us(d, 0.65, std::min(rates.onednn, rates.panels), rates.onednn_elements,
                        d.batch < kRowsToDivide ? 1 : threads);
  return predicted_us(d, 0.65, rates.onednn, rates.onednn_elements, threads);
}

double predicted_passes_us(const ops::DenseDesc& d, int threads) {
  constexpr double kElementsPerNanosecond = 8;
  const double nanoseconds = 2 * static_cast<double>(d.batch) * static_cast<double>(d.units) / kElementsPerNanosecond;
  return 0.02 + nanoseconds / worth(threads, nanoseconds).threads * 1e-3;
}

}  // namespace lamella::cpu
