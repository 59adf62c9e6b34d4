// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/activation_error.hpp"

namespace lamella::test {
namespace {

struct Case {
  ActivationSpec activation;
  DType src_dtype = DType::float32;
  DType dst_dtype = DType::float32;
  std::int64_t rows = 0;
  std::int64_t units = 0;
  std::int64_t src_gap = 0;  ///< elements between rows
  std::int64_t dst_gap = 0;
  bool bias = true;
  bool aligned = true;
  bool in_place = false;
};

/// The number of elements of a matrix with a gap after each row except the last.
std::int64_t extent(std::int64_t rows, std::int64_t stride, std::int64_t units) {
  return rows == 0 ? 0 : (rows - 1) * stride + units;
}

void check(const Case& c) {
  const DType compute = compute_of(c.dst_dtype);
  const std::int64_t src_stride = c.units + c.src_gap;
  const std::int64_t dst_stride = c.in_place ? src_stride : c.units + c.dst_gap;
  const std::vector<double> x = random_values(extent(c.rows, src_stride, c.units), 7, c.src_dtype, 2.0);
  const std::vector<double> b = random_values(c.units, 8, compute, 2.0);
  Buffer src(x, c.src_dtype, c.aligned);
  Buffer bias(b, compute, c.aligned);
  Buffer fresh(extent(c.rows, dst_stride, c.units), c.dst_dtype, c.aligned);
  Buffer& dst = c.in_place ? src : fresh;
  const kernels::Epilogue args{c.activation, c.src_dtype, c.dst_dtype, src.data(), c.bias ? bias.data() : nullptr,
                               dst.data(),   c.rows,      c.units,     src_stride, dst_stride};
  ASSERT_EQ(kernels::epilogue(args, nullptr), cudaSuccess);

  const Truth truth = truths().at(to_string(c.activation.kind));
  for (std::int64_t i = 0; i < extent(c.rows, dst_stride, c.units); ++i) {
    const std::int64_t row = i / dst_stride;
    const std::int64_t unit = i % dst_stride;
    const auto at = static_cast<std::size_t>(i);
    const auto from = static_cast<std::size_t>(row * src_stride + unit);
    if (unit >= c.units) {
      if (c.in_place) {
        ASSERT_EQ(dst[at], x[at]) << "a gap was written";
      } else {
        ASSERT_TRUE(dst.untouched(at)) << "a gap was written";
      }
      continue;
    }
    double sum = x[from];
    if (c.bias) sum += b[static_cast<std::size_t>(unit)];
    if (compute == DType::float32) sum = static_cast<double>(static_cast<float>(sum));
    const double exact = truth(sum, c.activation.parameters);
    ASSERT_TRUE(is_rounded(dst[at], exact, c.dst_dtype, activation_error(c.activation.kind, c.dst_dtype, sum, exact)))
        << to_string(c.activation.kind) << ' ' << to_string(c.src_dtype) << " to " << to_string(c.dst_dtype) << ' ' << c.rows
        << " x " << c.units << " at " << row << ", " << unit << ": " << exact << ", got " << dst[at];
  }
  EXPECT_TRUE(dst.guarded());
  if (!c.in_place) {
    EXPECT_EQ(src.values(), x);
  }
}

ActivationSpec spec_of(ActivationKind kind) {
  const std::array<float, 3> p = measured_parameters(kind)[0];
  return {kind, {p[0], p[1], p[2]}};
}

constexpr std::array<std::pair<DType, DType>, 6> kTypes = {{{DType::float32, DType::float32},
                                                            {DType::float16, DType::float16},
                                                            {DType::bfloat16, DType::bfloat16},
                                                            {DType::float64, DType::float64},
                                                            {DType::float32, DType::float16},
                                                            {DType::float32, DType::bfloat16}}};

TEST(EpilogueTest, IsRightForEveryActivationAndType) {
  for (const ActivationKind kind : elementwise_kinds()) {
    for (const auto& [src, dst] : kTypes) {
      for (const bool aligned : {true, false}) {
        check({.activation = spec_of(kind), .src_dtype = src, .dst_dtype = dst, .rows = 9, .units = 136, .aligned = aligned});
      }
    }
  }
}

TEST(EpilogueTest, IsRightInAnyShape) {
  for (const auto& [src, dst] : kTypes) {
    for (const std::int64_t rows : {0, 1, 3, 33, 129}) {
      for (const std::int64_t units : kSizes) {
        for (const bool bias : {true, false}) {
          check({.activation = spec_of(ActivationKind::Silu),
                 .src_dtype = src,
                 .dst_dtype = dst,
                 .rows = rows,
                 .units = units,
                 .bias = bias});
        }
      }
    }
  }
}

TEST(EpilogueTest, LeavesTheGapsBetweenRowsAlone) {
  for (const auto& [src, dst] : kTypes) {
    for (const std::int64_t gap : {0, 1, 8, 13}) {
      for (const std::int64_t units : {1, 7, 24, 33, 1027}) {
        check({.activation = spec_of(ActivationKind::Tanh),
               .src_dtype = src,
               .dst_dtype = dst,
               .rows = 5,
               .units = units,
               .src_gap = 8,
               .dst_gap = gap});
        check({.activation = spec_of(ActivationKind::Tanh),
               .src_dtype = src,
               .dst_dtype = dst,
               .rows = 5,
               .units = units,
               .src_gap = gap,
               .dst_gap = 8,
               .bias = false});
      }
    }
  }
}

TEST(EpilogueTest, WorksInPlace) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t units : {1, 7, 64, 1027}) {
      for (const bool aligned : {true, false}) {
        check({.activation = spec_of(ActivationKind::Gelu),
               .src_dtype = dtype,
               .dst_dtype = dtype,
               .rows = 37,
               .units = units,
               .src_gap = 8,
               .aligned = aligned,
               .in_place = true});
      }
    }
  }
}

TEST(EpilogueTest, KeepsMinusZeroWhereThereIsNoBias) {
  const std::vector<double> x(32, -0.0);
  Buffer src(x, DType::float32);
  Buffer dst(32, DType::float32);
  const kernels::Epilogue args{.activation = {},
                               .src = src.data(),
                               .bias = nullptr,
                               .dst = dst.data(),
                               .rows = 2,
                               .units = 16,
                               .src_stride = 16,
                               .dst_stride = 16};
  ASSERT_EQ(kernels::epilogue(args, nullptr), cudaSuccess);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_TRUE(dst[i] == 0 && std::signbit(dst[i]));
}

TEST(EpilogueTest, RefusesOtherPairsOfTypes) {
  Buffer memory(4, DType::float64);
  const kernels::Epilogue args{{}, DType::float16, DType::float32, memory.data(), nullptr, memory.data(), 1, 1, 1, 1};
  EXPECT_EQ(kernels::epilogue(args, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace lamella::test
