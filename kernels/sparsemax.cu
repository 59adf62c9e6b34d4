// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows.hpp"
#include "kernels/rowwise.hpp"

namespace lamella::kernels {
namespace {

/// In double, as on the CPU. Keras subtracts (the sum of the running sums of the supporting elements, largest first, - 1) / their
/// number, which is not the published definition; what Keras computes is what its users trained. Ranking the supporting elements
/// takes (their number * length) comparisons: few where logits differ, quadratic in a row of equal ones.
template <typename C>
struct SparsemaxRow {
  using Compute = C;

  template <typename Group, typename Items, typename T>
  LAMELLA_DEVICE void run(Items& items, const T* src, T* dst, const RowShape& shape) const {
    double shift = -kInfinity<double>;
    int odd = 0;
    items.each([&](C x, std::int64_t) {
      shift = Largest::of(shift, static_cast<double>(x));
      if (x != x) odd = 1;
    });
    shift = Group::template reduce<Largest>(shift);
    odd = Group::template reduce<Largest>(odd);
    if (odd != 0 || !(shift > -kInfinity<double> && shift < kInfinity<double>)) {
      items.each([&](C, std::int64_t i) { dst[i * shape.stride] = narrow<T>(kNaN<C>); });
      return;
    }
    const double support = shift + threshold<Group>(items, shift, shape.length);
    const double tau = keras_threshold<Group>(items, src, shape, support);
    Group::sync();  // everybody has read the row
    items.each([&](C x, std::int64_t i) {
      const double y = static_cast<double>(x) - tau;
      dst[i * shape.stride] = narrow<T>(y > 0 ? static_cast<C>(y) : C(0));
    });
  }

 private:
  /// The tau, less shift, with sum(max(x - tau, 0)) = 1, by Newton's method: it grows, and each step leaves fewer elements above
  /// it.
  template <typename Group, typename Items>
  LAMELLA_DEVICE static double threshold(Items& items, double shift, std::int64_t length) {
    double tau = -1;
    for (auto before = static_cast<double>(length) + 1;;) {
      double sum = 0;
      double count = 0;
      items.each([&](C value, std::int64_t) {
        const double x = static_cast<double>(value) - shift;
        if (!(x > tau)) return;
        sum += x;
        count += 1;
      });
      sum = Group::template reduce<Sum>(sum);
      count = Group::template reduce<Sum>(count);
      if (count >= before) return tau;
      before = count;
      tau = (sum - 1) / count;
    }
  }

  template <typename Group, typename Items, typename T>
  LAMELLA_DEVICE static double keras_threshold(Items& items, const T* src, const RowShape& shape, double support) {
    double count = 0;
    items.each([&](C x, std::int64_t) { count += static_cast<double>(x) > support ? 1 : 0; });
    count = Group::template reduce<Sum>(count);
    double sum = 0;
    items.each([&](C x, std::int64_t) {
      if (!(static_cast<double>(x) > support)) return;
      std::int64_t above = 0;
      std::int64_t equal = 0;
      for (std::int64_t k = 0; k < shape.length; ++k) {
        const C other = widen<C>(src[k * shape.stride]);
        above += other > x ? 1 : 0;
        equal += other == x ? 1 : 0;
      }
      // Equal elements share their places: each has the mean of them.
      sum += static_cast<double>(x) * (count - static_cast<double>(above) - 0.5 * static_cast<double>(equal - 1));
    });
    return (Group::template reduce<Sum>(sum) - 1) / count;
  }
};

}  // namespace

cudaError_t sparsemax(const Rowwise& args, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return launch_rows<false>(SparsemaxRow<ComputeOf<T>>{}, static_cast<const T*>(args.src), static_cast<T*>(args.dst),
                              RowShape{args.outer * args.inner, args.length, args.inner}, stream);
  });
}

}  // namespace lamella::kernels
