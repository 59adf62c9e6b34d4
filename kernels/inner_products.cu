// SPDX-License-Identifier: Apache-2.0
#include "kernels/groups.hpp"
#include "kernels/kernels.hpp"
#include "kernels/storage.hpp"

namespace lamella::kernels {
namespace {

/// One element of dst per warp, which reads both rows in parallel.
template <typename T>
LAMELLA_KERNEL(WarpGroup::kThreads)
inner_products_kernel(const T* left, const T* right, T* dst, std::int64_t elements, std::int64_t left_rows,
                      std::int64_t right_rows, std::int64_t length) {
  using C = ComputeOf<T>;
  for (std::int64_t at = block_x() * WarpGroup::kGroups + WarpGroup::index(); at < elements;
       at += grid_x() * WarpGroup::kGroups) {
    const std::int64_t row = at / right_rows;
    const T* a = left + row * length;
    const T* b = right + (row / left_rows * right_rows + at % right_rows) * length;
    C sum = 0;
    for (std::int64_t k = WarpGroup::rank(); k < length; k += WarpGroup::kSize) sum += widen<C>(a[k]) * widen<C>(b[k]);
    sum = WarpGroup::template reduce<Sum>(sum);
    if (WarpGroup::rank() == 0) dst[at] = narrow<T>(sum);
  }
}

}  // namespace

cudaError_t inner_products(const InnerProducts& args, cudaStream_t stream) {
  const std::int64_t elements = args.batch * args.left_rows * args.right_rows;
  if (elements == 0) return cudaSuccess;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    const Launch how{.grid = dim3(blocks(tiles(elements, WarpGroup::kGroups))), .threads = WarpGroup::kThreads, .stream = stream};
    return launch(how, inner_products_kernel<T>, static_cast<const T*>(args.left), static_cast<const T*>(args.right),
                  static_cast<T*>(args.dst), elements, args.left_rows, args.right_rows, args.length);
  });
}

}  // namespace lamella::kernels
