// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "cuda/dense/predicted.hpp"
#include "cuda/plans.hpp"
#include "kernels/mma_tiles.hpp"
#include "kernels/quantized_layout.hpp"

/// Quantized layers: docs/performance.md says how they are counted.
namespace lamella::cuda {
namespace {

constexpr double kSecondCache = 1.28;  ///< a second cache's bandwidth relative to a copy's
constexpr double kMostRead = 64;       ///< that a multiprocessor reads in a cycle

double counted(std::int64_t n) { return static_cast<double>(n); }
double moved_us(double bytes, const Hardware& on) { return bytes / on.gigabytes_per_second * 1e-3; }
double cycles_us(double cycles, const Hardware& on) { return cycles / (on.gigahertz * 1e3); }
bool is_int4(const ops::QuantizedDenseDesc& d) { return d.format == ops::WeightFormat::int4; }
kernels::QuantizedLayout quantized_layout(const ops::QuantizedDenseDesc& d) { return {d.inputs, d.units, is_int4(d)}; }

/// A product in blocks of results, with what they read and compute.
struct QuantizedProduct {
  kernels::MmaBlock block;
  double row_bytes;     ///< of a row that is read
  double warps;         ///< of a block, by their warp instructions for a chunk of inputs
  double instructions;  ///< of a warp for a chunk that is its own
  double chunks;        ///< of a warp
  double rate;          ///< multiply-adds of a multiprocessor in a cycle
};

double quantized_product_us(const ops::QuantizedDenseDesc& d, const Hardware& on, const QuantizedProduct& p) {
  constexpr double kIssued = 4;      // warp instructions of a multiprocessor in a cycle
  constexpr double kOfResult = 1.4;  // warp instructions: 45 of a thread
  const double weights = counted(quantized_layout(d).bytes());
  const double count = counted(p.block.count(d.batch, d.units));
  const double of_block =
      weights * counted(p.block.units) / counted(quantized_layout(d).tiles() * kernels::QuantizedLayout::kUnits) +
      counted(std::min(p.block.rows, d.batch)) * p.row_bytes;
  const double waves = std::ceil(count / on.multiprocessors);
  const double products = counted(p.block.rows * p.block.units) * counted(d.inputs) / p.rate;
  const double results = counted(d.batch) * counted(d.units);
  const double instructions = count * p.warps * p.chunks * p.instructions + kOfResult * results;
  return std::max({moved_us(weights + results * static_cast<double>(size_of(d.dtype)), on),
                   moved_us(count * of_block, on) / kSecondCache, cycles_us(waves * of_block / kMostRead, on) - kStartUs,
                   cycles_us(instructions / (kIssued * on.multiprocessors), on), cycles_us(waves * products, on)});
}

/// By kernels/quantize_rows.cu and kernels/integer_gemm.cu.
double integers_us(const ops::QuantizedDenseDesc& d, const Hardware& on) {
  constexpr double kSecondWalk = 0.3;  // over a row, after its largest magnitude is known
  const kernels::IntegerTile tile =
      d.dtype == DType::float64 ? kernels::IntegerTile::few_rows : kernels::integer_tile(d.batch, d.units);
  const double chunks = counted(quantized_layout(d).chunks());
  const double row_bytes = chunks * counted(kernels::QuantizedLayout::kInputs);
  QuantizedProduct p{kernels::integer_block(tile), row_bytes, 1, 0, 0, 2 * stack_rate(DType::float16, on)};
  switch (tile) {
    case kernels::IntegerTile::few_rows:
      p.chunks = chunks;  // which eight warps divide
      p.instructions = is_int4(d) ? 80 : 46;
      break;
    case kernels::IntegerTile::some_rows:
      p.warps = 2;
      p.chunks = chunks;  // which two pairs of warps divide
      p.instructions = is_int4(d) ? 140 : 80;
      break;
    case kernels::IntegerTile::many_rows:
      p.warps = 8;
      p.chunks = chunks;
      p.instructions = is_int4(d) ? 223 : 96;
  }
  const double rows = counted(d.batch) * (counted(d.inputs) * static_cast<double>(size_of(d.dtype)) + row_bytes);
  const double saved = on.architecture >= kernels::kOverlapArchitecture ? kOverlapSavesUs : 0;
  return kLaunchUs + kStartUs + kSecondWalk + moved_us(rows, on) + kLaunchUs - saved + kStartUs + quantized_product_us(d, on, p);
}

/// By kernels/dequantized_mma.cu.
double floats_on_tensor_cores_us(const ops::QuantizedDenseDesc& d, const Hardware& on) {
  const kernels::MmaBlock block = kernels::dequantized_mma_block(d.batch, d.units);
  const bool few = block.rows == 8;
  const QuantizedProduct p{block,
                           counted(d.inputs) * 2,
                           few ? 1.0 : 4.0,  // times four, which divide the chunks
                           (few ? 194.0 : 217.0) + (is_int4(d) ? 28 : 0) + (d.groups > 0 ? 64 : 0),
                           counted(quantized_layout(d).chunks()),
                           stack_rate(d.dtype, on)};
  return kLaunchUs + kStartUs + quantized_product_us(d, on, p);
}

/// By kernels/dequantized_gemm.cu.
double floats_us(const ops::QuantizedDenseDesc& d, const Hardware& on) {
  const std::int64_t rows = d.batch == 1 || d.dtype == DType::float64 ? 1 : d.batch <= 4 ? 4 : 8;
  const double half = 62 + 18 * counted(rows) + (is_int4(d) ? 33 : 0) + (d.groups > 0 ? 32 : 0);  // of a chunk
  const QuantizedProduct p{{rows, kernels::QuantizedLayout::kUnits},
                           counted(d.inputs) * static_cast<double>(size_of(d.dtype)),
                           1,  // eight warps divide the chunks
                           2 * half + 70 + 14 * counted(rows),
                           counted(quantized_layout(d).chunks()),
                           d.dtype == DType::float64 ? 64.0 : stack_rate(DType::float32, on)};
  return kLaunchUs + kStartUs + quantized_product_us(d, on, p);
}

}  // namespace

double predicted_quantized_us(const ops::QuantizedDenseDesc& d, const Hardware& on) {
  if (d.quantizes) return integers_us(d, on);
  const bool on_tensor_cores = is_narrow(d.dtype) && on.architecture >= kernels::kMmaArchitecture;
  return on_tensor_cores ? floats_on_tensor_cores_us(d, on) : floats_us(d, on);
}

}  // namespace lamella::cuda
