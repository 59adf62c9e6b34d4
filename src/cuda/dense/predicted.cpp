// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/predicted.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>

#include "cuda/plans.hpp"
#include "kernels/mma_float32.hpp"

namespace lamella::cuda {
namespace {

constexpr double kReduction = 0.4;      ///< of the library's, where it divides the inputs among blocks
constexpr double kCacheToMemory = 2.0;  ///< its bandwidth, relative to memory's

/// Multiply-adds of one multiprocessor in one cycle.
struct Rates {
  double float32;
  double float64;
  double library16;  ///< by the library's tensor-core kernels
  double mma16;      ///< by mma.sync
};

Rates rates_of(int architecture) {
  if (architecture >= 120) return {128, 2, 512, 512};
  if (architecture >= 100) return {128, 64, 4096, 1024};
  if (architecture >= 90) return {128, 64, 2048, 1240};  // mma.sync reaches about 60 % of wgmma's rate
  if (architecture >= 86) return {128, 2, 512, 512};
  if (architecture >= 80) return {64, 32, 1024, 1024};
  return {64, 2, 512, 512};
}

double real(std::int64_t n) { return static_cast<double>(n); }
double results(const ops::DenseDesc& d) { return real(d.batch) * real(d.units); }
/// Bytes of an element of the rows, the kernel and the results.
double element(const ops::DenseDesc& d) { return static_cast<double>(size_of(d.dtype)); }
/// Microseconds to move `bytes` from and to memory, at `share` of a copy's bandwidth.
double memory_us(double bytes, const Hardware& on, double share) { return bytes / (on.gigabytes_per_second * share) * 1e-3; }

/// Bytes of the kernel, the rows, and results of `result` bytes each.
double bytes_of(const ops::DenseDesc& d, double result) {
  return element(d) * (real(d.inputs) * real(d.units) + real(d.batch) * real(d.inputs)) + result * results(d);
}

double tiles(std::int64_t n, std::int64_t size) { return std::ceil(real(n) / real(size)); }

/// The rows and units of a block's tile, its multiply-adds a cycle, and whether a single wave's idle multiprocessors help.
struct Tiling {
  std::int64_t rows;
  std::int64_t units;
  double rate;
  bool divides_inputs;
};

double count_of(const ops::DenseDesc& d, const Tiling& t) { return tiles(d.batch, t.rows) * tiles(d.units, t.units); }

/// Whole waves of tiles, each as long as one tile on a multiprocessor of its own.
double arithmetic_us(const ops::DenseDesc& d, const Hardware& on, const Tiling& t) {
  const double processors = on.multiprocessors;
  const double count = count_of(d, t);
  const double one = real(t.rows) * real(t.units) * real(d.inputs) / (t.rate * on.gigahertz * 1e3);
  if (t.divides_inputs && count < processors) return one * std::max(2 * count / processors, std::min(1.0, 64 / real(d.inputs)));
  return one * std::ceil(count / processors);
}

/// Up to 128 rows and units, less where there are fewer.
std::int64_t tile_side(std::int64_t n) { return std::clamp<std::int64_t>((n + 15) / 16 * 16, 16, 128); }

}  // namespace

Hardware Hardware::of(int device) {
  const auto ask = [&](cudaDeviceAttr attribute) {
    int value = 0;
    return cudaDeviceGetAttribute(&value, attribute, device) == cudaSuccess ? value : (static_cast<void>(cudaGetLastError()), 0);
  };
  Hardware result;
  result.architecture = 10 * ask(cudaDevAttrComputeCapabilityMajor) + ask(cudaDevAttrComputeCapabilityMinor);
  result.multiprocessors = std::max(1, ask(cudaDevAttrMultiProcessorCount));
  result.shared_bytes = ask(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  const double kilohertz = ask(cudaDevAttrClockRate);
  result.gigahertz = kilohertz > 0 ? kilohertz * 1e-6 : 1.7;
  // Two transfers a cycle; a copy reaches about nine tenths.
  const double bytes = 2.0 * ask(cudaDevAttrMemoryClockRate) * 1e3 * ask(cudaDevAttrGlobalMemoryBusWidth) / 8;
  result.gigabytes_per_second = bytes > 0 ? 0.9 * bytes * 1e-9 : 15.0 * result.multiprocessors;
  return result;
}

double stack_rate(DType dtype, const Hardware& on) {
  const Rates rates = rates_of(on.architecture);
  return is_narrow(dtype) ? 0.9 * rates.mma16 : rates.float32;
}

double predicted_library_us(const ops::DenseDesc& d, const Hardware& on, bool fused) {
  const Rates rates = rates_of(on.architecture);
  const double rate = is_narrow(d.dtype)          ? rates.library16
                      : d.dtype == DType::float64 ? rates.float64
                      : d.math == Math::tf32      ? std::max(rates.library16 / 2, rates.float32)
                                                  : rates.float32;
  const Tiling tiling{tile_side(d.batch), tile_side(d.units), 0.85 * rate, true};
  const bool reduces = count_of(d, tiling) < on.multiprocessors && d.inputs >= 512;
  const double result = fused || !is_narrow(d.dtype) ? element(d) : 4;
  return kLaunchUs + kStartUs + (reduces ? kReduction : 0) +
         std::max(arithmetic_us(d, on, tiling), memory_us(bytes_of(d, result), on, 0.9));
}

double predicted_pass_us(const ops::DenseDesc& d, const Hardware& on) {
  const double sums = results(d) * (is_narrow(d.dtype) ? 4 : element(d));
  const double stored = results(d) * element(d);
  const double chunks = std::max(1.0, std::ceil(sums / static_cast<double>(kSumsInSecondCache)));  // each a product and a pass
  return kLaunchUs * (2 * chunks - 1) + memory_us(sums / kCacheToMemory + stored, on, 0.9);
}

double predicted_small_batch_us(const ops::DenseDesc& d, const Hardware& on, bool mma) {
  constexpr std::int64_t kUnitsOfBlock = 32;
  constexpr std::int64_t kRowsOfBlock = 32;
  constexpr double kCache = 1.28;     // a second cache's bandwidth relative to a copy's
  constexpr double kOnTheirWay = 60;  // bytes a cycle of a multiprocessor that has 48 KB on their way in 800 cycles
  const double row_blocks = mma ? tiles(d.batch, kRowsOfBlock) : 1;
  const double rows = std::ceil(real(d.batch) / row_blocks);
  const double weights = element(d) * real(d.inputs) * real(d.units);
  const double src = element(d) * real(d.batch) * real(d.inputs) * tiles(d.units, kUnitsOfBlock);
  // Warp instructions for 512 bytes of weights, of which a multiprocessor issues four a cycle.
  const double slots = !is_narrow(d.dtype) ? 25 + 4.25 * rows : mma ? 20 + 0.4 * rows : 36 + 8.4 * rows;
  const double instructions_us = row_blocks * weights / 512 * slots / (4 * on.multiprocessors * on.gigahertz * 1e3);
  double busiest_us = 0;
  bool adds_slices = false;
  if (mma) {
    const kernels::MmaSmallBatchBlocks blocks = kernels::mma_small_batch_blocks(
        {.activation = d.activation, .dtype = d.dtype, .batch = d.batch, .inputs = d.inputs, .units = d.units});
    const double bytes = tiles(blocks.count, on.multiprocessors) * real(blocks.bytes);
    busiest_us = bytes / (kOnTheirWay * on.gigahertz * 1e3) - kStartUs;  // which has the first wait in it
    adds_slices = blocks.slices > 1;
  }
  return (adds_slices ? 2 : 1) * kLaunchUs + kStartUs +
         std::max({memory_us(weights, on, 1), memory_us(row_blocks * weights + src, on, kCache), instructions_us, busiest_us});
}

bool mma_gemm_divides_inputs(const ops::DenseDesc& d) {
  constexpr std::int64_t kFewBlocks = 32;
  return d.determinism != Determinism::batch_invariant && d.inputs <= kernels::kMostSmallBatchInputs &&
         kernels::mma_block(kernels::MmaTile::few_rows).count(d.batch, d.units) <= kFewBlocks;
}

double predicted_mma_gemm_us(const ops::DenseDesc& d, const Hardware& on) {
  if (mma_gemm_divides_inputs(d)) return predicted_small_batch_us(d, on, true);
  // Multiply-adds of a cycle for which shared memory has the operands: a warp's eight products of a chunk take 36 cycles to load
  // in the small tile, and its 32 take 48 in the large one.
  constexpr double kFewRows = 8 * 2048 / 36.0;
  constexpr double kManyRows = 32 * 2048 / 48.0;
  const kernels::MmaTile tile = kernels::mma_tile(d.batch, d.units);
  const kernels::MmaBlock block = kernels::mma_block(tile);
  const double loaded = tile == kernels::MmaTile::few_rows ? kFewRows : kManyRows;
  const Tiling tiling{block.rows, block.units, std::min(0.9 * rates_of(on.architecture).mma16, loaded), false};
  return kLaunchUs + kStartUs + std::max(arithmetic_us(d, on, tiling), memory_us(bytes_of(d, element(d)), on, 0.9));
}

double predicted_mma_gemm_float32_us(const ops::DenseDesc& d, const Hardware& on) {
  constexpr double kProducts = 6;
  constexpr double kFewRows = 119;  // of a small tile that has a multiprocessor to itself: its products wait for each other
  const kernels::MmaTile tile = kernels::mma_tile(d.batch, d.units);
  const kernels::MmaBlock block = kernels::mma_float32_block(tile);
  const double most = 0.9 * rates_of(on.architecture).mma16 / kProducts;
  const Tiling tiling{block.rows, block.units, tile == kernels::MmaTile::few_rows ? std::min(most, kFewRows) : most, false};
  const double kernel = 2 * element(d) / 4 * real(d.inputs) * real(d.units);  // beyond bytes_of(): six bytes a weight
  return kLaunchUs + kStartUs + std::max(arithmetic_us(d, on, tiling), memory_us(bytes_of(d, element(d)) + kernel, on, 0.9));
}

double predicted_tiled_us(const ops::DenseDesc& d, const Hardware& on) {
  const Rates rates = rates_of(on.architecture);
  const double rate = d.dtype == DType::float64 ? std::min(rates.float64, 0.35 * rates.float32) : 0.35 * rates.float32;
  const Tiling tiling{64, 64, rate, false};
  return kLaunchUs + kStartUs + std::max(arithmetic_us(d, on, tiling), memory_us(bytes_of(d, element(d)), on, 0.5));
}

double predicted_alone_us(const ops::DenseDesc& d, const Hardware& on) {
  const bool in_library = d.activation.kind == ActivationKind::Linear || d.activation.kind == ActivationKind::Relu ||
                          d.activation.kind == ActivationKind::GeluTanh;
  const bool has_mma = on.architecture >= kernels::kMmaArchitecture;
  double least = predicted_library_us(d, on, in_library) + (in_library ? 0 : predicted_pass_us(d, on));
  least = std::min(least, predicted_tiled_us(d, on));
  if (d.batch <= kernels::small_batch_most(d.dtype)) least = std::min(least, predicted_small_batch_us(d, on, false));
  if (has_mma && is_narrow(d.dtype)) least = std::min(least, predicted_mma_gemm_us(d, on));
  if (has_mma && d.math == Math::bf16x6 && d.inputs >= kernels::kLeastMmaFloat32Inputs)
    least = std::min(least, predicted_mma_gemm_float32_us(d, on));
  return least;
}

}  // namespace lamella::cuda
