// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <cuda_runtime_api.h>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>

#include "core/kinds.hpp"
#include "ops/hash.hpp"

/// Device code, as functions of device pointers and a stream.
///
/// Each enqueues its work on `stream` of the current device and returns the status of the launch; nothing waits, nothing is
/// allocated. Arrays are contiguous row-major unless strides (in elements) are given. Pointers need only the alignment of one
/// element; sizes may be 0, and then nothing is launched. dtypes are float32, float16, bfloat16 or float64, unless integers are
/// mentioned. The compute type is float (double for float64, integers themselves), called C below, with one rounding at the
/// store; constants (bias, gamma, ...) are arrays of C. `dst` may be `src` where stated.
namespace lamella::kernels {

using core::CombineKind;
using core::NormalizationKind;
using core::ReduceKind;

/// Whether these kernels were compiled for the current device: cudaSuccess, or cudaErrorNoKernelImageForDevice. `architecture`:
/// the compute capability, times ten, for which the code that runs was compiled; it may be less than the device's.
[[nodiscard]] cudaError_t has_image(int& architecture);

/// dst[i] = f(src[i]), f element-wise; integers: only ReLU without a slope. In place is legal.
[[nodiscard]] cudaError_t elementwise(const ActivationSpec& activation, DType dtype, const void* src, void* dst,
                                      std::int64_t elements, cudaStream_t stream);

/// The epilogue of a product: dst[r, u] = activation(src[r, u] + bias[u]). In place is legal if src and dst have the same type
/// and stride.
struct Epilogue {
  ActivationSpec activation;
  DType src_dtype = DType::float32;  ///< of the product: dst_dtype, or float32 under a 16-bit dst
  DType dst_dtype = DType::float32;
  const void* src = nullptr;
  const void* bias = nullptr;  ///< (units,) of C, or null
  void* dst = nullptr;
  std::int64_t rows = 0;
  std::int64_t units = 0;
  std::int64_t src_stride = 0;  ///< elements between the starts of rows, at least units
  std::int64_t dst_stride = 0;
};
[[nodiscard]] cudaError_t epilogue(const Epilogue& args, cudaStream_t stream);

/// Which launches may begin before the kernel before them on the stream has ended. Until it has, they read kernel and bias alone,
/// out of the second-level cache, so that an earlier copy in a first one is never taken for them.
enum class Overlap {
  none,
  inside,  ///< those of one call that follow its first; in code for kOverlapArchitecture and later
  all      ///< the first too, before which a function that takes an Overlap must be the last work on the stream
};
inline constexpr int kOverlapArchitecture = 90;

/// dst[b, u] = activation(sum_i src[b, i] * kernel[i, u] + bias[u])
struct Dense {
  ActivationSpec activation;
  DType dtype = DType::float32;  ///< of src, kernel and dst
  const void* src = nullptr;
  const void* kernel = nullptr;
  const void* bias = nullptr;  ///< (units,) of C, or null
  void* dst = nullptr;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  void* workspace = nullptr;        ///< where a function says so, aligned to 16 bytes
  Overlap overlap = Overlap::none;  ///< of small_batch() and mma_small_batch()
};
/// For any shape; the sum runs over i in one fixed order for every batch size. `kernel_stride`: elements between the starts of
/// the kernel's rows, at least units.
[[nodiscard]] cudaError_t tiled_gemm(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream);

/// The most rows that small_batch() takes.
[[nodiscard]] constexpr std::int64_t small_batch_most(DType dtype) { return dtype == DType::float32 ? 16 : 8; }
inline constexpr std::int64_t kMostSmallBatchInputs = 0x7FFF'0000;  ///< inputs are counted in 32 bits
/// The same for few rows, in float32, float16 or bfloat16: the kernel is read once, by threads that divide the inputs and add
/// their sums in a fixed order. The kernel and each of its rows must be aligned to 16 bytes; else cudaErrorInvalidValue.
/// `workspace`: small_batch_workspace() bytes.
[[nodiscard]] std::size_t small_batch_workspace(const Dense& args);
[[nodiscard]] cudaError_t small_batch(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream);

inline constexpr int kMmaArchitecture = 80;                  ///< the least `architecture` that has these tensor cores
inline constexpr std::int64_t kMostMmaInputs = 0x7FFF'FF00;  ///< inputs are counted in 32 bits
enum class MmaTile { automatic, few_rows, many_rows };
/// The same for float16 or bfloat16 on tensor cores, which add in float32; a row's bits depend on that row alone, not on the
/// batch or the tile. The kernel is in the order of MmaLayout, aligned to 16 bytes. src is read in packs if it is aligned to 16
/// bytes and inputs are a multiple of 8; dst is written in packs if it is aligned to 8 and units are a multiple of 4. Code for
/// architectures below kMmaArchitecture traps.
[[nodiscard]] cudaError_t mma_gemm(const Dense& args, MmaTile tile, cudaStream_t stream);

/// The same for few rows: the inputs are divided among warps, and among blocks where there are few units, whose sums are added in
/// a fixed order; how they are divided depends on the shape, so a row's bits do too. At most kMostSmallBatchInputs.
/// `workspace`: mma_small_batch_workspace() bytes.
[[nodiscard]] std::size_t mma_small_batch_workspace(const Dense& args);
[[nodiscard]] cudaError_t mma_small_batch(const Dense& args, cudaStream_t stream);

/// A Dense layer of packed integers: ops::QuantizedDenseDesc says what it computes. Numbers are arrays of C, rounded to `dtype`;
/// `zero`, `group` with groups > 0, input_scale and bias may be null. The weights are in the order of QuantizedLayout, aligned to
/// 16 bytes. A row's bits depend on that row alone. `workspace`: quantized_dense_workspace() bytes, aligned to 16.
struct QuantizedDense {
  ActivationSpec activation;
  DType dtype = DType::float32;  ///< of src and dst
  bool int4 = false;             ///< else int8
  bool quantizes = false;
  int low = -127;
  int high = 127;
  double epsilon = 1e-7;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  std::int64_t groups = 0;
  const void* src = nullptr;
  const void* weights = nullptr;
  const void* scale = nullptr;
  const void* zero = nullptr;
  const void* group = nullptr;  ///< int32: of each run of kRunInputs inputs, -1 if of several; then of each input
  const void* input_scale = nullptr;
  const void* bias = nullptr;
  void* dst = nullptr;
  void* workspace = nullptr;
  Overlap overlap = Overlap::none;
};
[[nodiscard]] std::size_t quantized_dense_workspace(const QuantizedDense& args);
[[nodiscard]] cudaError_t quantized_dense(const QuantizedDense& args, cudaStream_t stream);

/// dst[i] = e4m3(clip(src[i] / scale, -448, 448)) * scale, each operation rounded to dtype. In place is legal.
[[nodiscard]] cudaError_t through_float8(DType dtype, const void* src, void* dst, std::int64_t elements, float scale,
                                         cudaStream_t stream);

/// Softmax, log_softmax, sparsemax or glu along the middle axis of src[outer, length, inner]; glu halves `length` in dst.
/// `workspace`: rowwise_workspace() bytes, aligned to 16. In place is legal except for glu.
struct Rowwise {
  ActivationKind kind = ActivationKind::Softmax;
  DType dtype = DType::float32;
  const void* src = nullptr;
  void* dst = nullptr;
  void* workspace = nullptr;
  std::int64_t outer = 0;
  std::int64_t length = 0;
  std::int64_t inner = 1;
};
[[nodiscard]] std::size_t rowwise_workspace(const Rowwise& args);
[[nodiscard]] cudaError_t rowwise(const Rowwise& args, cudaStream_t stream);

/// Each row of src[rows, length], normalized, * gamma + beta. In place is legal.
struct LayerNormalization {
  DType dtype = DType::float32;
  const void* src = nullptr;
  const void* gamma = nullptr;  ///< (length,) of C, or null for 1
  const void* beta = nullptr;   ///< (length,) of C, or null for 0
  void* dst = nullptr;
  std::int64_t rows = 0;
  std::int64_t length = 0;
  double epsilon = 1e-3;
  NormalizationKind kind = NormalizationKind::standard;
};
[[nodiscard]] cudaError_t layer_normalization(const LayerNormalization& args, cudaStream_t stream);

inline constexpr int kMaxAxes = 16;  ///< of a shape given to a kernel

/// `outer` samples of some axes each; no axes: of one element.
struct Sample {
  std::int64_t outer = 0;
  int axes = 0;
  std::int64_t extents[kMaxAxes] = {};
};
/// A constant shared by all samples: of type C, with a stride for each axis of the sample, 0 along axes on which it does not
/// vary. The stride of the last axis is 1 or 0.
struct SampleConstant {
  const void* data = nullptr;
  std::int64_t strides[kMaxAxes] = {};
};

/// dst = src * scale + offset, the product rounded before the sum. In place is legal.
[[nodiscard]] cudaError_t affine(DType dtype, const void* src, void* dst, const Sample& sample, const SampleConstant& scale,
                                 const SampleConstant& offset, cudaStream_t stream);

/// dst = x > 0 ? x : alpha * x with x = src, as relu(x) - alpha relu(-x). In place is legal.
[[nodiscard]] cudaError_t prelu(DType dtype, const void* src, void* dst, const Sample& sample, const SampleConstant& alpha,
                                cudaStream_t stream);

/// dst[b, i, j] = sum_k left[b, i, k] * right[b, j, k]; the order of the sum depends only on `length`.
struct InnerProducts {
  DType dtype = DType::float32;
  const void* left = nullptr;
  const void* right = nullptr;
  void* dst = nullptr;
  std::int64_t batch = 0;
  std::int64_t left_rows = 0;
  std::int64_t right_rows = 0;
  std::int64_t length = 0;
};
[[nodiscard]] cudaError_t inner_products(const InnerProducts& args, cudaStream_t stream);

/// dst[i, :] = table[src[i], :], negative numbers count from the end; NaN where there is no such row.
struct Gather {
  DType dtype = DType::float32;
  DType index = DType::int32;  ///< the type of src; or int64, float32, float64
  const void* src = nullptr;
  const void* table = nullptr;  ///< (rows, width) of C
  void* dst = nullptr;
  std::int64_t indices = 0;
  std::int64_t rows = 0;
  std::int64_t width = 0;
};
[[nodiscard]] cudaError_t gather(const Gather& args, cudaStream_t stream);

/// dst[i] = the number of ascending boundaries that are at most src[i]; all of them for NaN.
struct Bucket {
  DType from = DType::float32;  ///< the type of src, or float64
  const void* src = nullptr;
  const float* boundaries = nullptr;
  std::int64_t* dst = nullptr;
  std::int64_t elements = 0;
  std::int64_t length = 0;  ///< of boundaries
};
[[nodiscard]] cudaError_t bucket(const Bucket& args, cudaStream_t stream);

/// dst[i] = values[k] for the key keys[k] equal to src[i]; keys are ascending. Without such a key: `otherwise` or, if `hashes` is
/// not 0, `otherwise` plus the floor modulus of src[i] by `hashes`.
struct Lookup {
  const std::int64_t* src = nullptr;
  const std::int64_t* keys = nullptr;
  const std::int64_t* values = nullptr;
  std::int64_t* dst = nullptr;
  std::int64_t elements = 0;
  std::int64_t length = 0;  ///< of keys and values
  std::int64_t otherwise = 0;
  std::int64_t hashes = 0;
};
[[nodiscard]] cudaError_t lookup(const Lookup& args, cudaStream_t stream);

/// dst[i] = the bin of src[i].
struct Hash {
  const std::int64_t* src = nullptr;
  std::int64_t* dst = nullptr;
  std::int64_t elements = 0;
  ops::HashRule rule;
};
[[nodiscard]] cudaError_t hash(const Hash& args, cudaStream_t stream);

/// dst[o, k] = the number of elements of src[o, length] that equal k; `binary`: 1 if there is any.
struct Count {
  DType dtype = DType::float32;
  DType index = DType::int32;  ///< the type of src; or int64, float32, float64
  const void* src = nullptr;
  void* dst = nullptr;
  std::int64_t outer = 0;
  std::int64_t length = 1;
  std::int64_t depth = 0;
  bool binary = false;
};
[[nodiscard]] cudaError_t count(const Count& args, cudaStream_t stream);

inline constexpr int kMaxCombined = 16;  ///< sources per launch; more take several launches, which accumulate in C

/// A source with strides along dst's axes; stride 0 where it is broadcast.
struct CombineSource {
  const void* data = nullptr;
  std::int64_t strides[kMaxAxes] = {};
};
/// dst = the left fold of the sources in C (average: divided by their number at the end), rounded once. Maximum and minimum
/// propagate NaN; where: a where b is not 0, elsewhere 0. Integers too, keeping the low bits of results, but not their average.
/// `workspace`: combine_workspace() bytes, aligned to 16.
struct Combine {
  CombineKind kind = CombineKind::add;
  DType dtype = DType::float32;
  std::span<const CombineSource> sources;  ///< at least one; read before the call returns
  void* dst = nullptr;
  void* workspace = nullptr;
  int axes = 0;
  std::int64_t shape[kMaxAxes] = {};  ///< of dst, contiguous
};
[[nodiscard]] std::size_t combine_workspace(const Combine& args);
[[nodiscard]] cudaError_t combine(const Combine& args, cudaStream_t stream);

/// dst[o, i] = the reduction of src[o, :, i], computed in double, in an order that depends only on length and inner. Maximum and
/// minimum propagate NaN.
struct Reduce {
  ReduceKind kind = ReduceKind::sum;
  DType dtype = DType::float32;
  const void* src = nullptr;
  void* dst = nullptr;
  std::int64_t outer = 0;
  std::int64_t length = 0;
  std::int64_t inner = 1;
};
[[nodiscard]] cudaError_t reduce(const Reduce& args, cudaStream_t stream);

/// Copies to a contiguous dst the elements of src at `strides` along dst's axes; strides may be negative. element_bytes is 1, 2,
/// 4 or 8.
struct StridedCopy {
  int element_bytes = 4;
  const void* src = nullptr;  ///< the first element
  void* dst = nullptr;
  int axes = 0;
  std::int64_t shape[kMaxAxes] = {};  ///< of dst
  std::int64_t strides[kMaxAxes] = {};
};
[[nodiscard]] cudaError_t strided_copy(const StridedCopy& args, cudaStream_t stream);

/// dst axis k is src axis permutation[k]; element_bytes 1, 2, 4 or 8.
struct Transpose {
  int element_bytes = 4;
  const void* src = nullptr;
  void* dst = nullptr;
  int axes = 0;
  std::int64_t shape[kMaxAxes] = {};  ///< of src
  int permutation[kMaxAxes] = {};
};
[[nodiscard]] cudaError_t transpose(const Transpose& args, cudaStream_t stream);

/// Converts from any dtype to any. To a floating dtype: rounds to nearest even; NaN stays NaN. To an integer or bool: as
/// core::to_integer() does.
[[nodiscard]] cudaError_t cast(DType from, DType to, const void* src, void* dst, std::int64_t elements, cudaStream_t stream);
/// The part of cast() whose target is an integer or bool.
[[nodiscard]] cudaError_t cast_to_integer(DType from, DType to, const void* src, void* dst, std::int64_t elements,
                                          cudaStream_t stream);

}  // namespace lamella::kernels
