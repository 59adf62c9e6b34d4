// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/kernels.hpp"

/// How the products on tensor cores are divided among blocks, for those who launch them and those who predict their time.
namespace lamella::kernels {

/// The rows and units of a block's results in mma_gemm().
struct MmaBlock {
  std::int64_t rows;
  std::int64_t units;

  [[nodiscard]] constexpr std::int64_t count(std::int64_t batch, std::int64_t of_units) const {
    return (batch + rows - 1) / rows * ((of_units + units - 1) / units);
  }
};
constexpr MmaBlock mma_block(MmaTile tile) { return tile == MmaTile::few_rows ? MmaBlock{32, 64} : MmaBlock{128, 128}; }
/// The tile that mma_gemm() takes by itself.
constexpr MmaTile mma_tile(std::int64_t batch, std::int64_t units) {
  constexpr std::int64_t kBlocks = 64;  // with fewer large blocks, half of a large GPU would have no work
  const bool few = batch <= 64 || mma_block(MmaTile::many_rows).count(batch, units) < kBlocks;
  return few ? MmaTile::few_rows : MmaTile::many_rows;
}

/// The same of the integers of a quantized layer that quantizes its rows.
enum class IntegerTile { few_rows, some_rows, many_rows };
constexpr MmaBlock integer_block(IntegerTile tile) {
  if (tile == IntegerTile::few_rows) return {8, 16};
  return tile == IntegerTile::some_rows ? MmaBlock{32, 64} : MmaBlock{128, 128};
}
constexpr IntegerTile integer_tile(std::int64_t batch, std::int64_t units) {
  constexpr std::int64_t kEnoughSomeRows = 32;  // blocks; with fewer, most of a large GPU would have no work
  constexpr std::int64_t kEnoughManyRows = 64;
  const auto count = [&](IntegerTile tile) { return integer_block(tile).count(batch, units); };
  if (batch > 32 && count(IntegerTile::many_rows) >= kEnoughManyRows) return IntegerTile::many_rows;
  return batch > 8 && count(IntegerTile::some_rows) >= kEnoughSomeRows ? IntegerTile::some_rows : IntegerTile::few_rows;
}

/// The same of dequantized_mma().
constexpr MmaBlock dequantized_mma_block(std::int64_t batch, std::int64_t units) {
  constexpr MmaBlock kMany{32, 64};
  constexpr std::int64_t kEnough = 32;  // blocks; with fewer, most of a large GPU would have no work
  return batch > 8 && kMany.count(batch, units) >= kEnough ? kMany : MmaBlock{8, 16};
}

/// How mma_small_batch() divides the work: blocks, the bytes that each of them reads, and slices of the inputs.
struct MmaSmallBatchBlocks {
  std::int64_t count;
  std::int64_t bytes;
  int slices;
};
[[nodiscard]] MmaSmallBatchBlocks mma_small_batch_blocks(const Dense& args);

}  // namespace lamella::kernels
