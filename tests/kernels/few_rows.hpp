// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/kernels/dense_support.hpp"

/// Dense layers of few rows, computed by small_batch() or mma_small_batch().
namespace lamella::test {

struct FewRows {
  DType dtype = DType::float32;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  bool bias = true;
  ActivationSpec activation = {};
  bool aligned = false;  ///< src and dst; else to one element and no more
};

inline DenseData random_data(const FewRows& c) {
  return {random_values(c.batch * c.inputs, 1, c.dtype), random_values(c.inputs * c.units, 2, c.dtype),
          random_values(c.units, 3, DType::float32)};
}

inline kernels::Dense dense_of(const FewRows& c) {
  return {.activation = c.activation, .dtype = c.dtype, .batch = c.batch, .inputs = c.inputs, .units = c.units};
}

/// `launch(args)` with everything in memory of exact length, the kernel as it is given.
template <typename Launch>
std::vector<double> run(const FewRows& c, const DenseData& data, const std::vector<double>& kernel_in_order,
                        std::size_t workspace_bytes, const Launch& launch) {
  Buffer src(data.x, c.dtype, c.aligned);
  Buffer kernel(kernel_in_order, c.dtype, true);
  Buffer bias(data.b, DType::float32);
  Buffer dst(c.batch * c.units, c.dtype, c.aligned);
  Buffer workspace(static_cast<std::int64_t>(workspace_bytes / sizeof(float)), DType::float32, true);
  kernels::Dense args = dense_of(c);
  args.src = src.data();
  args.kernel = kernel.data();
  args.bias = c.bias ? bias.data() : nullptr;
  args.dst = dst.data();
  args.workspace = workspace_bytes > 0 ? workspace.data() : nullptr;
  EXPECT_EQ(launch(args), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  EXPECT_TRUE(workspace.guarded());
  return dst.values();
}

/// By small_batch(). The gaps between the kernel's rows hold NaN: they may be read but must not affect results.
inline std::vector<double> run_small_batch(const FewRows& c, const DenseData& data) {
  const std::int64_t pack = c.dtype == DType::float32 ? 4 : 8;
  const std::int64_t stride = (c.units + pack - 1) / pack * pack;
  std::vector<double> kernel(static_cast<std::size_t>(c.inputs * stride), std::nan(""));
  for (std::int64_t i = 0; i < c.inputs; ++i) std::copy_n(data.w.begin() + i * c.units, c.units, kernel.begin() + i * stride);
  return run(c, data, kernel, kernels::small_batch_workspace(dense_of(c)),
             [&](const kernels::Dense& args) { return kernels::small_batch(args, stride, nullptr); });
}

/// By mma_small_batch().
inline std::vector<double> run_mma_small_batch(const FewRows& c, const DenseData& data) {
  return run(c, data, fragments_of(c, data), kernels::mma_small_batch_workspace(dense_of(c)),
             [](const kernels::Dense& args) { return kernels::mma_small_batch(args, nullptr); });
}

/// NaN and infinities in src, kernel and bias, which sums pass on; for batches from 4 on.
inline DenseData unusual_data(const FewRows& c) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  DenseData data = random_data(c);
  const auto x = [&](std::int64_t row, std::int64_t i) -> double& {
    return data.x.at(static_cast<std::size_t>(row * c.inputs + i));
  };
  const auto w = [&](std::int64_t i, std::int64_t u) -> double& { return data.w.at(static_cast<std::size_t>(i * c.units + u)); };
  x(0, c.inputs - 1) = std::nan("");
  x(1, 0) = kInf;
  x(2, 0) = kInf;
  x(2, 1) = -kInf;
  x(c.batch - 1, 3) = kInf;
  w(3, 6) = 0;  // times infinity
  w(c.inputs - 1, c.units - 1) = -kInf;
  w(2, 5) = std::nan("");
  data.b.at(4) = kInf;
  return data;
}

}  // namespace lamella::test
