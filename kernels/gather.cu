// SPDX-License-Identifier: Apache-2.0
#include "kernels/device.hpp"
#include "kernels/kernels.hpp"
#include "kernels/storage.hpp"
#include "ops/gather.hpp"

namespace lamella::kernels {
namespace {

constexpr unsigned kGatherThreads = 256;

template <typename T, typename I>
LAMELLA_KERNEL(kGatherThreads)
gather_kernel(const I* numbers, const ComputeOf<T>* table, T* dst, std::int64_t elements, std::int64_t rows, std::int64_t width) {
  const std::int64_t step = grid_x() * kGatherThreads;
  for (std::int64_t at = block_x() * kGatherThreads + thread_index(); at < elements; at += step) {
    const std::int64_t row = ops::row_of(numbers[at / width], rows);
    dst[at] = narrow<T>(row >= 0 ? table[row * width + at % width] : kNaN<ComputeOf<T>>);
  }
}

template <typename T, typename I>
cudaError_t gather_as(const Gather& args, cudaStream_t stream) {
  const std::int64_t elements = args.indices * args.width;
  const Launch how{.grid = dim3(blocks(tiles(elements, kGatherThreads))), .threads = kGatherThreads, .stream = stream};
  return launch(how, gather_kernel<T, I>, static_cast<const I*>(args.src), static_cast<const ComputeOf<T>*>(args.table),
                static_cast<T*>(args.dst), elements, args.rows, args.width);
}

}  // namespace

cudaError_t gather(const Gather& args, cudaStream_t stream) {
  if (args.indices == 0 || args.width == 0) return cudaSuccess;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    switch (args.index) {
      case DType::int32:
        return gather_as<T, std::int32_t>(args, stream);
      case DType::int64:
        return gather_as<T, std::int64_t>(args, stream);
      case DType::float32:
        return gather_as<T, float>(args, stream);
      case DType::float64:
        return gather_as<T, double>(args, stream);
      default:
        return cudaErrorInvalidValue;
    }
  });
}

}  // namespace lamella::kernels
