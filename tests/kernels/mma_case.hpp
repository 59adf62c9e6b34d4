// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/kernels.hpp"
#include "tests/kernels/dense_support.hpp"

/// Dense layers computed on tensor cores in tiles, by mma_gemm() or mma_gemm_float32(). `run(case, data)` gives the results of
/// either.
namespace lamella::test {

constexpr std::array kMmaTiles{kernels::MmaTile::few_rows, kernels::MmaTile::many_rows};

template <DType kDefault>
struct MmaCase {
  DType dtype = kDefault;
  kernels::MmaTile tile = kernels::MmaTile::automatic;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  bool bias = true;
  ActivationSpec activation = {};
  bool src_aligned = false;
  bool dst_aligned = false;
};

template <DType kDefault>
DenseData random_data(const MmaCase<kDefault>& c, double width = 1) {
  return {random_values(c.batch * c.inputs, 1, c.dtype), random_values(c.inputs * c.units, 2, c.dtype, width),
          random_values(c.units, 3, c.dtype)};
}

/// `launch(args, tile, stream)` with everything in memory of exact length, the kernel as it is given.
template <DType kDefault, typename Launch>
std::vector<double> run_mma(const MmaCase<kDefault>& c, const DenseData& data, const void* kernel, const Launch& launch) {
  Buffer src(data.x, c.dtype, c.src_aligned);
  Buffer bias(data.b, DType::float32);
  Buffer dst(c.batch * c.units, c.dtype, c.dst_aligned);
  const kernels::Dense args{c.activation, c.dtype, src.data(), kernel, c.bias ? bias.data() : nullptr,
                            dst.data(),   c.batch, c.inputs,   c.units};
  EXPECT_EQ(launch(args, c.tile, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  return dst.values();
}

/// Each sum is one product of two numbers, which have few bits, and a bias, so it is exact and the error is the activation's.
template <DType kDefault, typename Run>
void expect_every_activation(DType dtype, const Run& run) {
  std::vector<double> factors(67);
  for (std::size_t i = 0; i < factors.size(); ++i) factors[i] = (static_cast<double>(i) - 33) / 8;
  for (const ActivationKind kind : elementwise_kinds()) {
    const std::array<float, 3> p = measured_parameters(kind)[0];
    for (const kernels::MmaTile tile : kMmaTiles) {
      const MmaCase<kDefault> c{
          .dtype = dtype, .tile = tile, .batch = 3, .inputs = 1, .units = 67, .activation = {kind, {p[0], p[1], p[2]}}};
      const DenseData data{{1, -0.5, 2}, factors, std::vector<double>(67, 0.25)};
      const std::vector<double> y = run(c, data);
      const Sums s = sums_of(c, data);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double exact = truths().at(to_string(kind))(s.sum[i], c.activation.parameters);
        ASSERT_TRUE(is_rounded(y[i], exact, dtype, activation_error(kind, dtype, s.sum[i], exact)))
            << to_string(kind) << " of " << s.sum[i] << " in " << to_string(dtype) << ": " << exact << ", got " << y[i];
      }
    }
  }
}

/// Parts of a batch, in every tile.
template <DType kDefault, typename Run>
void expect_bits_of_batch_in_parts(DType dtype, const Run& run) {
  const MmaCase<kDefault> all{.dtype = dtype, .tile = kernels::MmaTile::many_rows, .batch = 70, .inputs = 100, .units = 67};
  const DenseData data = random_data(all);
  const std::vector<double> wanted = run(all, data);
  for (const kernels::MmaTile tile : kMmaTiles) {
    for (const std::int64_t first : {0, 5, 69}) {
      for (const std::int64_t batch : {1, 9, 70}) {
        if (first + batch > all.batch) continue;
        MmaCase<kDefault> part = all;
        part.tile = tile;
        part.batch = batch;
        const auto x = data.x.begin() + first * all.inputs;
        const std::vector<double> y = run(part, {{x, x + batch * all.inputs}, data.w, data.b});
        ASSERT_TRUE(std::equal(y.begin(), y.end(), wanted.begin() + first * all.units)) << batch << " rows from " << first;
      }
    }
  }
}

}  // namespace lamella::test
