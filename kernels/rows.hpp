// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/pack_words.hpp"
#include "kernels/row_groups.hpp"

/// Algorithms on rows, for any group of threads and any storage of rows.
///
/// Which thread has which elements, and so every bit of a result, depends only on the length and the stride of rows: not on how
/// many rows there are or where they start. A row that is a whole number of 16-byte packs is divided by packs, which are read as
/// packs if all pointers allow it and else element by element; other rows are divided by elements.
namespace lamella::kernels {

/// Rows of `length` elements, `stride` apart, in src[outer, length, stride].
struct RowShape {
  std::int64_t rows = 0;
  std::int64_t length = 0;
  std::int64_t stride = 1;

  /// The offset of a row's first element.
  LAMELLA_DEVICE std::int64_t start(std::int64_t row) const {
    return stride == 1 ? row * length : row / stride * stride * length + row % stride;
  }
};

/// The most elements of a row that a thread keeps: more would take registers from other rows, whose loads hide the latency.
template <typename T>
inline constexpr int kKeptItems = sizeof(T) == 8 ? 8 : 16;
template <typename T>
inline constexpr int kRowPack = sizeof(T) == 8 ? 1 : 16 / static_cast<int>(sizeof(T));
template <typename T>
inline constexpr std::int64_t kLongestKept = kKeptItems<T>* static_cast<std::int64_t>(WarpsGroup::kThreads);

/// A row of any length and stride that is read again on every walk, kItems loads at a time.
template <typename T, typename C, typename Group, int kMostItems>
class WalkedRow {
 public:
  using Element = T;
  static constexpr bool kKept = false;
  static constexpr int kItems = kMostItems;

  LAMELLA_DEVICE WalkedRow(const T* src, T* dst, const RowShape& shape, C filler)
      : src_(src), dst_(dst), length_(shape.length), stride_(shape.stride), filler_(filler) {}

  [[nodiscard]] LAMELLA_DEVICE std::int64_t length() const { return length_; }
  [[nodiscard]] LAMELLA_DEVICE static bool there() { return true; }
  LAMELLA_DEVICE void ready() const {}
  /// The same row, or none.
  [[nodiscard]] LAMELLA_DEVICE WalkedRow<T, C, Group, 2> again(bool there) const {
    return {src_, dst_, {1, there ? length_ : 0, stride_}, filler_};
  }
  /// Element i, whichever thread it belongs to.
  [[nodiscard]] LAMELLA_DEVICE C at(std::int64_t i) const { return widen<C>(src_[i * stride_]); }

  /// Calls f(x, first, filled) for the elements read together: x[k] is element first + k * Group::size() or filler; from `filled`
  /// on, every thread of the group has filler only.
  template <typename F>
  LAMELLA_DEVICE void batches(const F& f) const {
    const std::int64_t size = Group::size();
    LAMELLA_NO_UNROLL  // there are loads enough
        for (std::int64_t base = 0; base < length_; base += kItems * size) {
      const std::int64_t first = base + Group::rank();
      T raw[kItems];
      LAMELLA_UNROLL
      for (int k = 0; k < kItems; ++k) {
        const std::int64_t i = first + k * size;
        raw[k] = narrow<T>(filler_);
        if (i < length_) raw[k] = src_[i * stride_];
      }
      C x[kItems];
      LAMELLA_UNROLL
      for (int k = 0; k < kItems; ++k) x[k] = widen<C>(raw[k]);
      const std::int64_t filled = (length_ - base - 1) / size + 1;
      f(x, first, filled < kItems ? static_cast<int>(filled) : kItems);
    }
  }
  template <typename F>
  LAMELLA_DEVICE void each(const F& f) {
    walk([&](C& x, std::int64_t i, int slot) { f(x, i < length_, slot); });
  }
  template <typename F>
  LAMELLA_DEVICE void store(const F& f) const {
    walk([&](C& x, std::int64_t i, int slot) {
      if (i < length_) dst_[i * stride_] = narrow<T>(f(x, i, slot));
    });
  }

 private:
  template <typename F>
  LAMELLA_DEVICE void walk(const F& f) const {
    batches([&](C(&x)[kItems], std::int64_t first, int filled) {
      LAMELLA_UNROLL
      for (int k = 0; k < kItems; ++k) {
        if (k >= filled) break;
        f(x[k], first + k * static_cast<std::int64_t>(Group::size()), k);
      }
    });
  }

  const T* src_;
  T* dst_;
  std::int64_t length_;
  std::int64_t stride_;
  C filler_;
};

/// One thread's share of a row in registers: kPacks packs of kWidth neighbours, all loaded before any is used. Elements past the
/// end of the row are `filler`.
template <typename T, typename C, typename Group, int kWidth, int kPacks>
class KeptRow {
 public:
  using Element = T;
  static constexpr bool kKept = true;
  static constexpr int kItems = kWidth * kPacks;

  /// `packs`: whole packs may be read and written at once. If the row is not `there`, it is all filler and never written.
  LAMELLA_DEVICE KeptRow(const T* src, T* dst, unsigned length, bool there, bool packs, C filler)
      : src_(src),
        dst_(dst + Group::rank() * kWidth),
        filler_(filler),
        first_(there ? Group::rank() * kWidth : length),
        step_(Group::size() * kWidth),
        length_(length),
        there_(there),
        packs_(packs) {
    fetch(src, raw_, narrow<T>(filler));
  }

  [[nodiscard]] LAMELLA_DEVICE std::int64_t length() const { return length_; }
  /// The row read from memory once more, or none. Valid only before the row is written.
  [[nodiscard]] LAMELLA_DEVICE WalkedRow<T, C, Group, 2> again(bool there) const {
    return {src_, dst_ - Group::rank() * kWidth, {1, there ? length_ : 0, 1}, filler_};
  }
  [[nodiscard]] LAMELLA_DEVICE bool there() const { return there_; }

  /// This thread's share of an array that is as long as the row.
  template <typename E>
  LAMELLA_DEVICE void fetch(const E* array, PackWords<E, kWidth> (&packs)[kPacks], E filler) const {
    const E* const from = array + Group::rank() * kWidth;
    LAMELLA_UNROLL
    for (int k = 0; k < kItems; ++k) packs[k / kWidth].put(k % kWidth, filler);
    if (kWidth == 1 || packs_) {
      LAMELLA_UNROLL
      for (int k = 0; k < kPacks; ++k) {
        if (first_ + k * step_ < length_) packs[k] = *reinterpret_cast<const PackWords<E, kWidth>*>(from + k * step_);
      }
    } else {
      LAMELLA_UNROLL
      for (int k = 0; k < kPacks; ++k) {
        if (first_ + k * step_ < length_) {
          LAMELLA_UNROLL
          for (int j = 0; j < kWidth; ++j) packs[k].put(j, from[k * step_ + j]);
        }
      }
    }
  }

  /// Called once before the others, after issuing other loads.
  LAMELLA_DEVICE void ready() {
    LAMELLA_UNROLL
    for (int k = 0; k < kItems; ++k) x_[k] = widen<C>(raw_[k / kWidth].element(k % kWidth));
  }

  /// Calls f(x, there, slot) for this thread's elements, in order, and for fillers. Changes to x are kept.
  template <typename F>
  LAMELLA_DEVICE void each(const F& f) {
    LAMELLA_UNROLL
    for (int k = 0; k < kPacks; ++k) {
      if (k * step_ >= length_) break;  // for the whole group
      LAMELLA_UNROLL
      for (int j = 0; j < kWidth; ++j) f(x_[k * kWidth + j], first_ + k * step_ < length_, k * kWidth + j);
    }
  }

  /// Writes f(x, i, slot) for each element i of the row; slot counts this thread's elements.
  template <typename F>
  LAMELLA_DEVICE void store(const F& f) const {
    LAMELLA_UNROLL
    for (int k = 0; k < kPacks; ++k) {
      if (k * step_ >= length_) break;
      Pack<C, kWidth> result;
      LAMELLA_UNROLL
      for (int j = 0; j < kWidth; ++j) {
        result.at[j] = f(x_[k * kWidth + j], static_cast<std::int64_t>(first_ + k * step_ + j), k * kWidth + j);
      }
      const PackWords<T, kWidth> y = narrow<T>(result);
      if (first_ + k * step_ >= length_) continue;
      if (kWidth == 1 || packs_) {
        *reinterpret_cast<PackWords<T, kWidth>*>(dst_ + k * step_) = y;
      } else {
        LAMELLA_UNROLL
        for (int j = 0; j < kWidth; ++j) dst_[k * step_ + j] = y.element(j);
      }
    }
  }

 private:
  const T* src_;
  T* dst_;
  C filler_;
  unsigned first_;
  unsigned step_;
  unsigned length_;
  bool there_;
  bool packs_;
  PackWords<T, kWidth> raw_[kPacks];
  C x_[kItems];
};

/// An array that is as long as the row, or `absent` for every element if it is null. It is loaded together with a kept row. Two
/// kinds of rows load it only where it is used: walked rows, and rows of many single elements, whose addresses leave too few
/// registers.
template <typename Items, typename C>
class RowConstant;
template <typename T, typename C, typename Group, int kWidth, int kPacks>
class RowConstant<KeptRow<T, C, Group, kWidth, kPacks>, C> {
 public:
  LAMELLA_DEVICE RowConstant(const KeptRow<T, C, Group, kWidth, kPacks>& items, const C* values, C absent)
      : from_(values), absent_(absent), length_(items.length()) {
    if constexpr (kAhead) {
      if (values != nullptr) {
        items.fetch(values, values_, absent);
      } else {
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth * kPacks; ++k) values_[k / kWidth].put(k % kWidth, absent);
      }
    }
  }
  LAMELLA_DEVICE C of(std::int64_t i, int slot) const {
    if constexpr (kAhead) {
      return values_[slot / kWidth].element(slot % kWidth);
    } else {
      return from_ != nullptr && i < length_ ? from_[i] : absent_;
    }
  }

 private:
  static constexpr bool kAhead = kWidth > 1 || kPacks <= 4;

  PackWords<C, kWidth> values_[kAhead ? kPacks : 1];
  const C* from_;
  C absent_;
  std::int64_t length_;
};
template <typename T, typename C, typename Group, int kItems>
class RowConstant<WalkedRow<T, C, Group, kItems>, C> {
 public:
  LAMELLA_DEVICE RowConstant(const WalkedRow<T, C, Group, kItems>&, const C* values, C absent)
      : values_(values), absent_(absent) {}
  LAMELLA_DEVICE C of(std::int64_t i, int) const { return values_ != nullptr ? values_[i] : absent_; }

 private:
  const C* values_;
  C absent_;
};

/// Threads that a multiprocessor has registers for. For compute capability 10.0 ptxas finds no way with 64 registers for rows
/// that are read element by element.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 1000
template <int kWidth>
inline constexpr int kResidentThreads = kWidth == 1 ? 768 : 1024;
#else
template <int kWidth>
inline constexpr int kResidentThreads = 1024;
#endif

/// Calls f.run(group, row) for all rows, with 64 registers per thread, or F::kRegisterShare times as many; walked rows are read
/// F::kWalked loads at a time. Only its own group writes a row, after all of it has been read.
template <typename F, typename T, typename Group, int kWidth, int kPacks>
__global__ void __launch_bounds__(Group::kThreads, kResidentThreads<kWidth> / Group::kThreads / F::kRegisterShare)
    kept_rows_kernel(F f, const T* src, T* dst, std::int64_t rows, unsigned length, bool packs) {
  using C = typename F::Compute;
  Group group;
  for (std::int64_t base = block_x() * Group::kGroups; base < rows; base += grid_x() * Group::kGroups) {
    const std::int64_t row = base + Group::index();
    KeptRow<T, C, Group, kWidth, kPacks> items(src + row * length, dst + row * length, length, row < rows, packs, F::kFiller);
    f.run(group, items);
  }
}

template <typename F, typename T>
__global__ void __launch_bounds__(WarpsGroup::kThreads, 1024 / WarpsGroup::kThreads / F::kRegisterShare)
    walked_rows_kernel(F f, const T* src, T* dst, RowShape shape) {
  using C = typename F::Compute;
  WarpsGroup group;
  for (std::int64_t row = block_x(); row < shape.rows; row += grid_x()) {
    const std::int64_t start = shape.start(row);
    WalkedRow<T, C, WarpsGroup, F::kWalked> items(src + start, dst + start, shape, F::kFiller);
    f.run(group, items);
  }
}

/// The number of warps for `items` elements per thread, up to the most that are allowed.
inline unsigned threads_of(std::int64_t length, std::int64_t items) {
  return blocks(tiles(length, items * kWarp) * kWarp, WarpsGroup::kThreads);
}

template <typename Group, int kWidth, int kPacks, typename F, typename T>
cudaError_t launch_kept_as(const F& f, const T* src, T* dst, const RowShape& shape, bool packs, cudaStream_t stream) {
  const Launch how{.grid = dim3(blocks(tiles(shape.rows, Group::kGroups))),
                   .threads = Group::kGroups > 1 ? Group::kThreads : threads_of(shape.length, kWidth * kPacks),
                   .shared = Group::kShared,
                   .stream = stream};
  return launch(how, kept_rows_kernel<F, T, Group, kWidth, kPacks>, f, src, dst, shape.rows, static_cast<unsigned>(shape.length),
                packs);
}

/// Keeps rows in registers; each belongs to part of a warp, a warp, or a block.
template <typename F, typename T>
cudaError_t launch_kept(const F& f, const T* src, T* dst, const RowShape& shape, bool packs, cudaStream_t stream) {
  constexpr int kItems = kKeptItems<T>;
  constexpr int kWidth = kRowPack<T>;
  if (shape.length <= 32) return launch_kept_as<LaneGroup<8>, 1, 4>(f, src, dst, shape, false, stream);
  if constexpr (kWidth > 1) {
    if (shape.length % kWidth == 0) {
      if (shape.length <= 16 * kItems)
        return launch_kept_as<LaneGroup<16>, kWidth, kItems / kWidth>(f, src, dst, shape, packs, stream);
      if (shape.length <= 32 * kItems)
        return launch_kept_as<LaneGroup<32>, kWidth, kItems / kWidth>(f, src, dst, shape, packs, stream);
      return launch_kept_as<WarpsGroup, kWidth, kItems / kWidth>(f, src, dst, shape, packs, stream);
    }
  }
  if (shape.length <= 32 * kItems) return launch_kept_as<LaneGroup<32>, 1, kItems>(f, src, dst, shape, false, stream);
  return launch_kept_as<WarpsGroup, 1, kItems>(f, src, dst, shape, false, stream);
}

template <typename F, typename T>
cudaError_t launch_walked(const F& f, const T* src, T* dst, const RowShape& shape, cudaStream_t stream) {
  if (shape.rows == 0 || shape.length == 0) return cudaSuccess;
  const Launch how{.grid = dim3(blocks(shape.rows)),
                   .threads = threads_of(shape.length, F::kWalked),
                   .shared = WarpsGroup::kShared,
                   .stream = stream};
  return launch(how, walked_rows_kernel<F, T>, f, src, dst, shape);
}

/// Keeps rows in registers if they fit and are contiguous. `packs`: all arrays that f reads along a row are aligned to 16 bytes.
template <typename F, typename T>
cudaError_t launch_rows(const F& f, const T* src, T* dst, const RowShape& shape, bool packs, cudaStream_t stream) {
  if (shape.rows == 0 || shape.length == 0) return cudaSuccess;
  if (shape.stride != 1 || shape.length > kLongestKept<T>) return launch_walked(f, src, dst, shape, stream);
  return launch_kept(f, src, dst, shape, packs && aligned(src) && aligned(dst), stream);
}

}  // namespace lamella::kernels
