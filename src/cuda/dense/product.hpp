// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <lamella/dtype.hpp>
#include <lamella/options.hpp>

#include "cuda/stream.hpp"

/// Products by cuBLASLt.
namespace lamella::cuda {

/// What cuBLASLt applies to a product before storing it.
enum class LtEpilogue { none, bias, relu, relu_bias, gelu_tanh, gelu_tanh_bias };
[[nodiscard]] constexpr bool has_bias(LtEpilogue epilogue) {
  return epilogue == LtEpilogue::bias || epilogue == LtEpilogue::relu_bias || epilogue == LtEpilogue::gelu_tanh_bias;
}

inline constexpr int kMostAlgorithms = 8;  ///< asked of cuBLASLt's heuristics

/// dst[batch, units] = epilogue(src[batch, inputs] . kernel[inputs, units]), rows `kernel_stride` and `dst_stride` elements
/// apart.
struct ProductDesc {
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  std::int64_t kernel_stride = 0;
  std::int64_t dst_stride = 0;
  DType src = DType::float32;  ///< of src and kernel
  DType dst = DType::float32;  ///< src's type, or float32
  Math math = Math::exact;
  LtEpilogue epilogue = LtEpilogue::none;
  int algorithm =
      0;  ///< which of those that cuBLASLt offers for aligned pointers, less than kMostAlgorithms; for others: the first
  friend auto operator<=>(const ProductDesc&, const ProductDesc&) = default;
};

/// One product ready to run: descriptors built, algorithm chosen. Immutable; any number of threads may execute it, each on its
/// own stream.
///
/// Row-major y = x W is, to column-major cuBLAS, y^T = W^T x^T: A is the kernel (m = units), B is x (n = batch), nothing is
/// transposed, and the bias lies along m, which is units. This is the one place that knows about column-major order.
class Product {
 public:
  /// Queries cuBLASLt's heuristics twice, if this device has not been asked for such a product before: for src and dst aligned to
  /// 16 bytes, and for any. `bias`, which epilogues with one read, is (units,) of desc.src's type on the device, aligned, and
  /// must outlive this. Throws DeviceError.
  Product(const ProductDesc& desc, const void* bias, CudaDevice& device);
  ~Product();
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  /// The workspace of the chosen algorithms, at most 32 MiB, and room for copies of src and dst if cuBLASLt has no algorithm for
  /// unaligned pointers.
  [[nodiscard]] std::size_t workspace_bytes() const noexcept;
  /// Enqueues. `kernel` is aligned to 16 bytes, `workspace` to 256.
  void execute(CudaStream& stream, const void* src, const void* kernel, void* dst, void* workspace) const;

  /// The algorithms that execute() uses, for aligned pointers and for others, as bytes that identify them; empty: none.
  [[nodiscard]] std::string algorithm(bool is_aligned) const;

  struct Impl;

 private:
  std::unique_ptr<const Impl> impl_;
};

/// Empty if cuBLASLt's heuristics offer an algorithm for this, else the reason. Throws DeviceError.
[[nodiscard]] std::string why_no_product(const ProductDesc& desc, CudaDevice& device);
/// Whether src or dst has the alignment that the faster algorithms need.
[[nodiscard]] bool is_aligned(const void* pointer) noexcept;

}  // namespace lamella::cuda
