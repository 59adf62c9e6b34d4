// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/arithmetic.hpp"
#include "kernels/kernels.hpp"
#include "kernels/pack_words.hpp"
#include "kernels/strided.hpp"

namespace lamella::kernels {
namespace {

/// One launch: starts from the sources alone or continues from `partial`, and writes `partial` or `dst`.
template <typename T>
struct Fold {
  CombineKind kind;
  Extents extents;
  int count = 0;  ///< of the sources
  CombineSource sources[kMaxCombined] = {};
  bool continues = false;  ///< starts from the values in `partial`
  bool ends = true;        ///< writes dst, else `partial`
  ComputeOf<T> divisor = 1;
  ComputeOf<T>* partial = nullptr;
  T* dst = nullptr;
};

/// sum = f(sum, x), element by element.
template <typename C, int kWidth>
LAMELLA_DEVICE void combine_packs(CombineKind kind, Pack<C, kWidth>& sum, const Pack<C, kWidth>& x) {
  const auto each = [&](const auto& f) {
    LAMELLA_UNROLL
    for (int k = 0; k < kWidth; ++k) sum.at[k] = f(sum.at[k], x.at[k]);
  };
  switch (kind) {
    case CombineKind::add:
    case CombineKind::average:
      return each([](C a, C b) { return core::add(a, b); });
    case CombineKind::subtract:
      return each([](C a, C b) { return core::subtract(a, b); });
    case CombineKind::multiply:
      return each([](C a, C b) { return core::multiply(a, b); });
    case CombineKind::maximum:
      return each([](C a, C b) { return core::maximum(a, b); });
    case CombineKind::minimum:
      return each([](C a, C b) { return core::minimum(a, b); });
    case CombineKind::where:
      return each([](C a, C b) { return core::where(a, b); });
    case CombineKind::divide:
      if constexpr (std::is_floating_point_v<C>) each([](C a, C b) { return a / b; });
      return;
    case CombineKind::power:
      if constexpr (std::is_floating_point_v<C>) each([](C a, C b) { return core::math::power(a, b); });
      return;
  }
}

/// What has been loaded of a source but not unpacked: a pack, or one element that serves the whole pack.
template <typename T, int kWidth>
struct Read {
  PackWords<T, kWidth> pack;
  T one;
  bool broadcast;

  template <typename C>
  LAMELLA_DEVICE Pack<C, kWidth> widened() const {
    Pack<C, kWidth> result;
    LAMELLA_UNROLL
    for (int k = 0; k < kWidth; ++k) result.at[k] = widen<C>(broadcast ? one : pack.element(k));
    return result;
  }
};

template <typename T, int kWidth>
LAMELLA_DEVICE Read<T, kWidth> read(const T* src, bool broadcast, std::int64_t left) {
  Read<T, kWidth> x{};
  x.broadcast = broadcast;
  if (kWidth == 1 || broadcast) {
    x.broadcast = true;
    x.one = *src;
  } else if (left >= kWidth) {
    x.pack = *reinterpret_cast<const PackWords<T, kWidth>*>(src);
  } else {
    LAMELLA_UNROLL
    for (int k = 0; k < kWidth; ++k) x.pack.put(k, k < left ? src[k] : T{});
  }
  return x;
}

constexpr int kReadTogether = 4;

template <typename T, int kWidth>
LAMELLA_KERNEL(kStridedThreads)
combine_kernel(Fold<T> fold, std::int64_t rows, int columns_log2) {
  using C = ComputeOf<T>;
  const std::int64_t length = fold.extents.last();
  const int last = fold.extents.axes - 1;
  each_pack(tiles(length, kWidth), rows, columns_log2, [&](std::int64_t pack, std::int64_t row) {
    const std::int64_t column = pack * kWidth;
    const std::int64_t at = row * length + column;
    const std::int64_t left = length - column;
    Pack<C, kWidth> sum{};
    if (fold.continues) load(sum, fold.partial + at, left);
    LAMELLA_NO_UNROLL
    for (int first = 0; first < fold.count; first += kReadTogether) {
      Read<T, kWidth> x[kReadTogether] = {};
      LAMELLA_UNROLL
      for (int s = 0; s < kReadTogether; ++s) {
        if (first + s >= fold.count) break;
        const CombineSource& source = fold.sources[first + s];
        const std::int64_t stride = source.strides[last];
        const T* const src = static_cast<const T*>(source.data) + row_offset(fold.extents, source.strides, row) + column * stride;
        x[s] = read<T, kWidth>(src, stride == 0, left);
      }
      LAMELLA_NO_UNROLL  // one copy of each operation
          for (int s = first; s < fold.count && s < first + kReadTogether; ++s) {
        const Pack<C, kWidth> value = x[0].template widened<C>();
        if (s == 0 && !fold.continues) {
          sum = value;
        } else {
          combine_packs(fold.kind, sum, value);
        }
        LAMELLA_UNROLL
        for (int next = 1; next < kReadTogether; ++next) x[next - 1] = x[next];
      }
    }
    if (!fold.ends) {
      store(fold.partial + at, sum, left);
      return;
    }
    if constexpr (!std::is_integral_v<T>) {
      if (fold.kind == CombineKind::average) {
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth; ++k) sum.at[k] = sum.at[k] / fold.divisor;
      }
    }
    Pack<T, kWidth> y;
    LAMELLA_UNROLL
    for (int k = 0; k < kWidth; ++k) y.at[k] = narrow<T>(sum.at[k]);
    store(fold.dst + at, y, left);
  });
}

/// The axes that remain when axes of extent 1 are dropped and neighbours that every source can walk as one are merged. `kept`:
/// their indices.
Extents merged(const Combine& args, int (&kept)[kMaxAxes]) {
  Extents result;
  for (int axis = 0; axis < args.axes; ++axis) {
    if (args.shape[axis] == 1) continue;
    const int before = result.axes - 1;
    const bool joins = before >= 0 && std::all_of(args.sources.begin(), args.sources.end(), [&](const CombineSource& source) {
                         return source.strides[kept[before]] == source.strides[axis] * args.shape[axis];
                       });
    if (joins) {
      kept[before] = axis;
      result.at[before] *= args.shape[axis];
    } else {
      kept[result.axes] = axis;
      result.at[result.axes++] = args.shape[axis];
    }
  }
  if (result.axes == 0) {  // one element
    kept[0] = 0;
    result.at[result.axes++] = 1;
  }
  return result;
}

CombineSource merged(const CombineSource& source, const Extents& extents, const int (&kept)[kMaxAxes]) {
  CombineSource result{.data = source.data};
  for (int axis = 0; axis < extents.axes; ++axis) result.strides[axis] = extents.at[axis] == 1 ? 0 : source.strides[kept[axis]];
  return result;
}

template <typename T>
bool packs_fit(const Fold<T>& fold, std::int64_t width) {
  const int last = fold.extents.axes - 1;
  const bool one_row = last == 0;
  if (!aligned(fold.dst) || !aligned(fold.partial) || (!one_row && fold.extents.last() % width != 0)) return false;
  return std::all_of(fold.sources, fold.sources + fold.count, [&](const CombineSource& source) {
    if (source.strides[last] == 0) return true;
    const bool rows_fit =
        std::all_of(source.strides, source.strides + last, [&](std::int64_t stride) { return stride % width == 0; });
    return source.strides[last] == 1 && rows_fit && aligned(source.data);
  });
}

template <typename T, int kWidth>
cudaError_t launch_fold(const Fold<T>& fold, cudaStream_t stream) {
  const std::int64_t packs = tiles(fold.extents.last(), kWidth);
  const std::int64_t rows = fold.extents.elements() / fold.extents.last();
  const int log2 = columns_log2_of(packs);
  return launch({.grid = strided_grid(packs, rows, log2), .threads = kStridedThreads, .stream = stream},
                combine_kernel<T, kWidth>, fold, rows, log2);
}

template <typename T>
cudaError_t combine_as(const Combine& args, cudaStream_t stream) {
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  int kept[kMaxAxes] = {};
  Fold<T> fold{.kind = args.kind, .extents = merged(args, kept)};
  if (fold.extents.elements() == 0) return cudaSuccess;
  fold.dst = static_cast<T*>(args.dst);
  fold.partial = static_cast<ComputeOf<T>*>(args.workspace);
  for (std::size_t first = 0; first < args.sources.size(); first += kMaxCombined) {
    const std::size_t end = std::min(args.sources.size(), first + kMaxCombined);
    fold.count = static_cast<int>(end - first);
    for (std::size_t s = first; s < end; ++s) fold.sources[s - first] = merged(args.sources[s], fold.extents, kept);
    fold.continues = first > 0;
    fold.ends = end == args.sources.size();
    if (args.kind == CombineKind::average) fold.divisor = static_cast<ComputeOf<T>>(args.sources.size());
    const cudaError_t status = packs_fit(fold, kWidth) ? launch_fold<T, kWidth>(fold, stream) : launch_fold<T, 1>(fold, stream);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

}  // namespace

std::size_t combine_workspace(const Combine& args) {
  if (args.sources.size() <= kMaxCombined) return 0;
  std::int64_t elements = 1;
  for (int axis = 0; axis < args.axes; ++axis) elements *= args.shape[axis];
  return static_cast<std::size_t>(elements) *
         (is_floating(args.dtype) ? std::max(sizeof(float), size_of(args.dtype)) : size_of(args.dtype));
}

cudaError_t combine(const Combine& args, cudaStream_t stream) {
  if (args.sources.empty() || args.axes < 0 || args.axes > kMaxAxes) return cudaErrorInvalidValue;
  const auto as = [&](auto t) { return combine_as<typename decltype(t)::type>(args, stream); };
  if (is_floating(args.dtype)) return visit_floating(args.dtype, as);
  return of_integers(args.kind) ? visit_integer(args.dtype, as) : cudaErrorInvalidValue;
}

}  // namespace lamella::kernels
