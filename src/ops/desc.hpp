// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <variant>
#include <vector>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>
#include <lamella/options.hpp>
#include <lamella/shape.hpp>

#include "core/kinds.hpp"
#include "ops/hash.hpp"

/// One operation to be done, every field named. Sizes count elements; any of them may be 0. All arrays are contiguous row-major.
/// `dtype` is the type of src and dst; float16 and bfloat16 are computed in float32 and rounded once, at the store. It is a
/// floating type unless integers are mentioned. kName is the operation's name in explain().
namespace lamella::ops {

using core::CombineKind;
using core::NormalizationKind;
using core::ReduceKind;

/// dst[batch, units] = activation(src[batch, inputs] . kernel[inputs, units] + bias[units]); activation is element-wise.
/// Constants: kernel, then bias when has_bias.
struct DenseDesc {
  static constexpr const char* kName = "dense";
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  bool has_bias = false;
  ActivationSpec activation;
  DType dtype = DType::float32;
  Math math = Math::exact;
  Fusion fusion = Fusion::automatic;
  Determinism determinism = Determinism::run_to_run;
  friend bool operator==(const DenseDesc&, const DenseDesc&) = default;
};
/// Several consecutive layers, of which the first is Dense; then, with `softmax`, a softmax of each row. A layer is what
/// DenseDesc computes, or not `is_dense` and activation(x) of the result x before it; then the value `added` is added. Constants:
/// for each Dense layer, in order, the kernel, then the bias if it has one.
struct StackDesc {
  static constexpr const char* kName = "dense stack";
  static constexpr int kNothing = -1;
  struct Layer {
    std::int64_t inputs = 0;
    std::int64_t units = 0;
    bool has_bias = false;
    ActivationSpec activation;
    bool is_dense = true;
    int added = kNothing;  ///< or a value before this layer's result, as wide: 0 is src, n the result of the nth layer
    std::array<int, 2> joined{kNothing,
                              kNothing};  ///< or two such values, which side by side are what a layer that is not Dense takes
    [[nodiscard]] bool joins() const { return joined[0] != kNothing; }
    friend bool operator==(const Layer&, const Layer&) = default;
  };
  std::int64_t batch = 0;
  std::vector<Layer> layers;
  bool softmax = false;
  DType dtype = DType::float32;
  Math math = Math::exact;
  Fusion fusion = Fusion::automatic;
  Determinism determinism = Determinism::run_to_run;
  friend bool operator==(const StackDesc&, const StackDesc&) = default;
};
/// Format of a packed weight: int8 or int4, in two's complement. Two int4 share a byte; the lower four bits are the even unit's.
enum class WeightFormat { int8, int4 };
/// dst[batch, units] = activation(z + bias[units]), where q[inputs, units] are integers, and z is one of
///   groups == 0                 (x . q) / scale[u]
///   groups == 0 and quantizes   float(xq . q) / (scale[u] * a[r]), where a[r] = high / (max |x[r]| + epsilon) and
///                               xq = round(x * a[r]), clipped to [low, high]; sums of 32 bits; NaN becomes 0
///   groups > 0                  x . w, where w[i, u] = (q[i, u] - zero[g, u]) * scale[g, u] / input_scale[i], g = group[i]
/// With `quantizes`, every operation except the sums is rounded to `dtype`; else only w, scale, bias and dst are.
/// Constants: q (inputs, units) or (inputs, ceil(units / 2)) as int8; scale; with groups zero (groups, units), and group (inputs)
/// as int32; input_scale (inputs) when has_input_scale; bias when has_bias. Others are floating.
struct QuantizedDenseDesc {
  static constexpr const char* kName = "quantized dense";
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  std::int64_t groups = 0;
  WeightFormat format = WeightFormat::int8;
  bool has_input_scale = false;
  bool has_bias = false;
  bool quantizes = false;
  int low = -127;
  int high = 127;
  double epsilon = 1e-7;
  ActivationSpec activation;
  DType dtype = DType::float32;
  friend bool operator==(const QuantizedDenseDesc&, const QuantizedDenseDesc&) = default;
};
/// dst[i] = e4m3(clip(src[i] / scale, -448, 448)) * scale, each operation rounded to `dtype`. In place is legal.
struct QuantizeDequantizeDesc {
  static constexpr const char* kName = "round to float8";
  std::int64_t elements = 0;
  float scale = 1;
  DType dtype = DType::float32;
  friend bool operator==(const QuantizeDequantizeDesc&, const QuantizeDequantizeDesc&) = default;
};
/// dst[i] = f(src[i]), element-wise f. In place is legal. For integers: only activations that core::keeps_integers().
struct ActivationDesc {
  std::int64_t elements = 0;
  ActivationSpec activation;
  DType dtype = DType::float32;
  friend bool operator==(const ActivationDesc&, const ActivationDesc&) = default;
};
/// Softmax, log_softmax, sparsemax or glu along the middle axis of src[outer, length, inner]; glu halves `length` in dst.
struct RowwiseDesc {
  ActivationKind kind = ActivationKind::Softmax;
  std::int64_t outer = 0;
  std::int64_t length = 0;
  std::int64_t inner = 1;
  DType dtype = DType::float32;
  friend bool operator==(const RowwiseDesc&, const RowwiseDesc&) = default;
};
/// Each row of src[outer, length], normalized, * gamma + beta. Constants: [gamma], [beta], (length,) each.
struct LayerNormalizationDesc {
  std::int64_t outer = 0;
  std::int64_t length = 0;
  double epsilon = 1e-3;
  bool has_gamma = false;
  bool has_beta = false;
  NormalizationKind kind = NormalizationKind::standard;
  DType dtype = DType::float32;
  friend bool operator==(const LayerNormalizationDesc&, const LayerNormalizationDesc&) = default;
};
/// dst = src * scale + offset over src[outer, sample...], computed in float32 or wider. Constants: scale, offset, of these
/// shapes, which broadcast over the sample (ops/broadcast.hpp). In place is legal.
struct AffineDesc {
  static constexpr const char* kName = "affine";
  std::int64_t outer = 0;
  Shape sample;
  Shape scale;
  Shape offset;
  DType dtype = DType::float32;
  friend bool operator==(const AffineDesc&, const AffineDesc&) = default;
};
/// dst = relu(x) - alpha * relu(-x) with x of src[outer, sample...]. Constant: alpha, of this shape, which broadcasts over the
/// sample (ops/broadcast.hpp). In place is legal.
struct PReluDesc {
  static constexpr const char* kName = "prelu";
  std::int64_t outer = 0;
  Shape sample;
  Shape alpha;
  DType dtype = DType::float32;
  friend bool operator==(const PReluDesc&, const PReluDesc&) = default;
};
/// dst = the left fold of all srcs, broadcast to `dst` as numpy does. All shapes have dst's rank. Maximum and minimum propagate
/// NaN. Any dtype except bool; kinds not in of_integers() need floating types. Integers keep the low bits of their results.
/// Constant: where `constant` is not -1, that source, of type `dtype`; its first axis has the extent 1.
struct CombineDesc {
  CombineKind kind = CombineKind::add;
  Shape dst;
  std::vector<Shape> srcs;
  DType dtype = DType::float32;
  int constant = -1;
  friend bool operator==(const CombineDesc&, const CombineDesc&) = default;
};
/// dst[o, i] = the reduction of src[o, :, i]. Sums and products are computed in float64 and rounded once. Maximum and minimum
/// propagate NaN; for them `length` is at least 1.
struct ReduceDesc {
  ReduceKind kind = ReduceKind::sum;
  std::int64_t outer = 0;
  std::int64_t length = 0;
  std::int64_t inner = 1;
  DType dtype = DType::float32;
  friend bool operator==(const ReduceDesc&, const ReduceDesc&) = default;
};
/// dst[i, j, ...] = src[starts[0] + i * steps[0], starts[1] + j * steps[1], ...]; steps are not 0 and may be negative. The whole
/// first axis of src is taken.
struct SliceDesc {
  static constexpr const char* kName = "slice";
  Shape src;
  Shape dst;
  std::vector<std::int64_t> starts;
  std::vector<std::int64_t> steps;
  DType dtype = DType::float32;
  friend bool operator==(const SliceDesc&, const SliceDesc&) = default;
};
/// dst[b, i, j] = the sum over k of left[b, i, k] * right[b, j, k], in float (double for float64), in an order that depends only
/// on `length`.
struct InnerProductsDesc {
  static constexpr const char* kName = "inner_products";
  std::int64_t batch = 0;
  std::int64_t left = 0;
  std::int64_t right = 0;
  std::int64_t length = 0;
  DType dtype = DType::float32;
  friend bool operator==(const InnerProductsDesc&, const InnerProductsDesc&) = default;
};
/// dst[i, :] = table[src[i], :], where negative numbers count from the end; NaN where there is no such row. Constant: table
/// (rows, width). `index`, the type of src, is int32, int64, float32 or float64; see ops::row_of().
struct GatherDesc {
  static constexpr const char* kName = "gather";
  std::int64_t indices = 0;
  std::int64_t rows = 0;
  std::int64_t width = 0;
  DType index = DType::int32;
  DType dtype = DType::float32;
  friend bool operator==(const GatherDesc&, const GatherDesc&) = default;
};
/// dst[i] = the number of boundaries, which are ascending, that are at most src[i]; all of them for NaN. Constant: boundaries
/// (length,), in float32. `from`, the type of src, is float32 or float64; dst is int64.
struct BucketDesc {
  static constexpr const char* kName = "bucket";
  std::int64_t elements = 0;
  std::int64_t length = 0;
  DType from = DType::float32;
  friend bool operator==(const BucketDesc&, const BucketDesc&) = default;
};
/// dst[i] = values[k] where keys[k], which are ascending, is src[i]; if none is, `otherwise`, plus the floor modulus of src[i] by
/// `hashes` if that is not 0. All are int64. Constants: keys, values, (length,) each.
struct LookupDesc {
  static constexpr const char* kName = "lookup";
  std::int64_t elements = 0;
  std::int64_t length = 0;
  std::int64_t otherwise = 0;
  std::int64_t hashes = 0;
  friend bool operator==(const LookupDesc&, const LookupDesc&) = default;
};
/// dst[i] = the bin of src[i] (ops/hash.hpp). All are int64.
struct HashDesc {
  static constexpr const char* kName = "hash";
  std::int64_t elements = 0;
  HashRule rule;
  friend bool operator==(const HashDesc&, const HashDesc&) = default;
};
/// dst[o, k] = the number of elements of src[o, length] that equal k, for k in 0 .. depth - 1; `binary`: 1 if there is any.
/// `index`, the type of src, is int32, int64, float32 or float64.
struct CountDesc {
  std::int64_t outer = 0;
  std::int64_t length = 1;
  std::int64_t depth = 0;
  bool binary = false;
  DType index = DType::int32;
  DType dtype = DType::float32;
  friend bool operator==(const CountDesc&, const CountDesc&) = default;
};
/// dst[o, :] = the rows src_k[o, extents[k]] side by side. Any dtype.
struct ConcatDesc {
  static constexpr const char* kName = "concatenate";
  std::int64_t outer = 0;
  std::vector<std::int64_t> extents;
  DType dtype = DType::float32;
  friend bool operator==(const ConcatDesc&, const ConcatDesc&) = default;
};
/// dst axis k is src axis permutation[k]. Any dtype.
struct TransposeDesc {
  static constexpr const char* kName = "transpose";
  Shape src;
  std::vector<int> permutation;
  DType dtype = DType::float32;
  friend bool operator==(const TransposeDesc&, const TransposeDesc&) = default;
};
/// To a floating type: rounds to nearest even. To an integer or bool: as core::to_integer(). Any dtypes.
struct CastDesc {
  std::int64_t elements = 0;
  DType from = DType::float32;
  DType to = DType::float32;
  friend bool operator==(const CastDesc&, const CastDesc&) = default;
};

/// Every Desc. A new one needs plan() in src/cpu and src/cuda, and, if it has constants, their sizes in ops/constants.cpp.
// clang-format off
#define LAMELLA_DESCS(X) X(DenseDesc) X(ActivationDesc) X(RowwiseDesc) X(LayerNormalizationDesc) X(AffineDesc) X(PReluDesc) \
  X(CombineDesc) X(ReduceDesc) X(ConcatDesc) X(SliceDesc) X(TransposeDesc) X(CastDesc) X(InnerProductsDesc) \
  X(QuantizedDenseDesc) X(QuantizeDequantizeDesc) X(GatherDesc) X(BucketDesc) X(LookupDesc) X(CountDesc) X(HashDesc) \
  X(StackDesc)

template <typename None, typename... Descs> using AnyOf = std::variant<Descs...>;
#define LAMELLA_AND(D) , D
using Desc = AnyOf<void LAMELLA_DESCS(LAMELLA_AND)>;
#undef LAMELLA_AND
// clang-format on

}  // namespace lamella::ops
