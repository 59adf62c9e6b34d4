// SPDX-License-Identifier: Apache-2.0
// Searches sorted tables and counts numbers: one result per thread.
#include "kernels/device.hpp"
#include "kernels/kernels.hpp"
#include "kernels/storage.hpp"
#include "ops/search.hpp"

namespace lamella::kernels {
namespace {

constexpr unsigned kLookupThreads = 256;

Launch launch_for(std::int64_t elements, cudaStream_t stream) {
  return {.grid = dim3(blocks(tiles(elements, kLookupThreads))), .threads = kLookupThreads, .stream = stream};
}

template <typename F>
LAMELLA_DEVICE void each_element(std::int64_t elements, const F& f) {
  const std::int64_t step = grid_x() * kLookupThreads;
  for (std::int64_t at = block_x() * kLookupThreads + thread_index(); at < elements; at += step) f(at);
}

template <typename T>
LAMELLA_KERNEL(kLookupThreads)
bucket_kernel(const T* src, const float* boundaries, std::int64_t* dst, std::int64_t elements, std::int64_t length) {
  each_element(elements, [&](std::int64_t at) { dst[at] = ops::count_up_to(src[at], boundaries, length); });
}

LAMELLA_KERNEL(kLookupThreads)
lookup_kernel(Lookup l) {
  each_element(l.elements,
               [&](std::int64_t at) { l.dst[at] = ops::found(l.src[at], l.keys, l.values, l.length, l.otherwise, l.hashes); });
}

LAMELLA_KERNEL(kLookupThreads)
hash_kernel(Hash h) {
  each_element(h.elements, [&](std::int64_t at) { h.dst[at] = ops::bin_of(h.src[at], h.rule); });
}

template <typename I>
LAMELLA_DEVICE bool is(I number, std::int64_t wanted) {
  if constexpr (std::is_floating_point_v<I>) {
    return static_cast<double>(number) == static_cast<double>(wanted);
  } else {
    return number == wanted;
  }
}

/// Neighbouring threads read the same numbers and write neighbouring counts.
template <typename T, typename I>
LAMELLA_KERNEL(kLookupThreads)
count_kernel(const I* src, T* dst, std::int64_t elements, std::int64_t length, std::int64_t depth, bool binary) {
  each_element(elements, [&](std::int64_t at) {
    const I* const row = src + at / depth * length;
    const std::int64_t wanted = at % depth;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < length; ++i) count += is(row[i], wanted) ? 1 : 0;
    dst[at] = narrow<T>(static_cast<ComputeOf<T>>(binary && count > 1 ? 1 : count));
  });
}

template <typename T, typename I>
cudaError_t count_as(const Count& args, cudaStream_t stream) {
  const std::int64_t elements = args.outer * args.depth;
  return launch(launch_for(elements, stream), count_kernel<T, I>, static_cast<const I*>(args.src), static_cast<T*>(args.dst),
                elements, args.length, args.depth, args.binary);
}

template <typename T>
cudaError_t bucket_as(const Bucket& args, cudaStream_t stream) {
  return launch(launch_for(args.elements, stream), bucket_kernel<T>, static_cast<const T*>(args.src), args.boundaries, args.dst,
                args.elements, args.length);
}

}  // namespace

cudaError_t bucket(const Bucket& args, cudaStream_t stream) {
  if (args.elements == 0) return cudaSuccess;
  if (args.from == DType::float32) return bucket_as<float>(args, stream);
  return args.from == DType::float64 ? bucket_as<double>(args, stream) : cudaErrorInvalidValue;
}

cudaError_t hash(const Hash& args, cudaStream_t stream) {
  return args.elements == 0 ? cudaSuccess : launch(launch_for(args.elements, stream), hash_kernel, args);
}

cudaError_t lookup(const Lookup& args, cudaStream_t stream) {
  return args.elements == 0 ? cudaSuccess : launch(launch_for(args.elements, stream), lookup_kernel, args);
}

cudaError_t count(const Count& args, cudaStream_t stream) {
  if (args.outer == 0 || args.depth == 0) return cudaSuccess;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    switch (args.index) {
      case DType::int32:
        return count_as<T, std::int32_t>(args, stream);
      case DType::int64:
        return count_as<T, std::int64_t>(args, stream);
      case DType::float32:
        return count_as<T, float>(args, stream);
      case DType::float64:
        return count_as<T, double>(args, stream);
      default:
        return cudaErrorInvalidValue;
    }
  });
}

}  // namespace lamella::kernels
