// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "cpu/plans.hpp"
#include "cpu/threads.hpp"
#include "ops/broadcast.hpp"

/// Element-wise operations with N constants that broadcast over a sample.
namespace lamella::cpu {

/// Visits `outer` samples run by run: along a run each constant either stays the same or advances by one element.
template <std::size_t N>
class BroadcastRuns {
 public:
  BroadcastRuns(std::int64_t outer, const Shape& sample, const std::array<Shape, N>& constants)
      : sample_(sample),
        axes_(sample.rank() == 0 ? 0 : sample.rank() - 1),
        inner_rows_(sample.elements(0, axes_)),
        width_(sample.rank() == 0 ? 1 : sample.back()),
        rows_(width_ == 0 ? 0 : outer * inner_rows_) {
    for (std::size_t k = 0; k < N; ++k) {
      strides_[k] = ops::constant_strides(constants[k], sample);
      varies_[k] = sample.rank() > 0 && strides_[k][static_cast<std::size_t>(axes_)] != 0;
    }
  }

  /// The number of units that may be divided among threads: runs, or single elements if no constant varies.
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t elements() const { return rows_ * width_; }
  /// Whether constant k varies along a run.
  [[nodiscard]] bool varies(std::size_t k) const { return varies_[k]; }

  /// Calls f(first, count, at) for the runs of rows begin .. end: elements first .. first + count, constant k from at[k] on.
  template <typename F>
  void each(std::int64_t begin, std::int64_t end, const F& f) const {
    std::array<std::int64_t, N> at{};
    if (begin >= end) return;
    if (sample_.rank() == 0) return f(begin, end - begin, at);
    std::array<std::int64_t, Shape::kMaxRank> digits{};
    std::int64_t rest = begin % inner_rows_;
    for (int axis = axes_ - 1; axis >= 0; --axis) {
      digits[static_cast<std::size_t>(axis)] = rest % sample_[axis];
      rest /= sample_[axis];
      move(at, axis, digits[static_cast<std::size_t>(axis)]);
    }
    for (std::int64_t row = begin; row < end; ++row) {
      f(row * width_, width_, at);
      for (int axis = axes_ - 1; axis >= 0; --axis) {
        move(at, axis, 1);
        if (++digits[static_cast<std::size_t>(axis)] < sample_[axis]) break;
        move(at, axis, -sample_[axis]);
        digits[static_cast<std::size_t>(axis)] = 0;
      }
    }
  }

 private:
  void move(std::array<std::int64_t, N>& at, int axis, std::int64_t by) const {
    for (std::size_t k = 0; k < N; ++k) at[k] += by * strides_[k][static_cast<std::size_t>(axis)];
  }

  Shape sample_;
  int axes_;  ///< before the last
  std::int64_t inner_rows_;
  std::int64_t width_;
  std::int64_t rows_;
  std::array<std::array<std::int64_t, Shape::kMaxRank>, N> strides_;
  std::array<bool, N> varies_;
};

/// A constant along a run: its value for element i of the run.
template <bool kVaries, typename C>
class AlongRun {
 public:
  explicit AlongRun(const C* from) : first_(*from), values_(from) {}
  C operator[](std::int64_t i) const { return kVaries ? values_[i] : first_; }

 private:
  C first_;
  const C* values_;
};

/// Calls f(std::true_type) or f(std::false_type).
template <typename F>
void with_known(bool value, const F& f) {
  value ? f(std::true_type{}) : f(std::false_type{});
}

}  // namespace lamella::cpu
