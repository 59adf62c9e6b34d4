// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lamella/export.hpp>

namespace lamella {
namespace detail {

[[noreturn]] LAMELLA_API void throw_extent_overflow();

/// One extent, from an integer of any type: Shape{v.size() / 4, 4} narrows nothing. Throws ArgumentError (overflow) beyond int64.
class Extent {
 public:
  template <std::integral T>
  requires(!std::same_as<T, bool>) constexpr Extent(T value)  // NOLINT(google-explicit-constructor): an integer is an extent
      : value_(static_cast<std::int64_t>(value)) {
    if (!std::in_range<std::int64_t>(value)) throw_extent_overflow();
  }
  [[nodiscard]] constexpr std::int64_t value() const noexcept { return value_; }

 private:
  std::int64_t value_;
};

}  // namespace detail

/// The extents of a dense row-major array, outermost first. Rank 0 (a scalar) and extents of 0 are legal.
/// The number of elements of a Shape always fits into an int64: construction checks it.
class LAMELLA_API Shape {
 public:
  static constexpr int kMaxRank = 16;

  Shape() noexcept = default;  ///< rank 0: one element
  /// Throws ArgumentError: shape (a negative extent, or more than kMaxRank extents), overflow (their product).
  Shape(std::initializer_list<detail::Extent> extents);
  explicit Shape(std::span<const std::int64_t> extents);
  /// The same from integers of any type, as in std::vector<int> or std::array<std::size_t, 2>.
  template <std::ranges::input_range R>
  requires std::integral<std::ranges::range_value_t<R>> &&(!std::same_as<std::ranges::range_value_t<R>, bool>)&&(
      !std::convertible_to<const R&, std::span<const std::int64_t>>)&&(!std::same_as<R, Shape>)explicit Shape(const R& extents)
      : Shape(std::span<const std::int64_t>(converted(extents))) {}

  [[nodiscard]] int rank() const noexcept { return rank_; }
  /// Extent of an axis; -1 is the last one. Throws ArgumentError (shape) outside -rank..rank-1.
  [[nodiscard]] std::int64_t operator[](int axis) const;
  [[nodiscard]] std::int64_t back() const { return (*this)[-1]; }
  /// Product of all extents; 1 for rank 0.
  [[nodiscard]] std::int64_t elements() const noexcept { return elements_; }
  /// Product of the extents of axes [first, last); 1 when empty. Throws ArgumentError (shape) unless 0 <= first <= last <= rank.
  [[nodiscard]] std::int64_t elements(int first, int last) const;
  [[nodiscard]] std::span<const std::int64_t> extents() const noexcept LAMELLA_LIFETIMEBOUND {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }
  [[nodiscard]] const std::int64_t* begin() const noexcept LAMELLA_LIFETIMEBOUND { return extents_.data(); }
  [[nodiscard]] const std::int64_t* end() const noexcept LAMELLA_LIFETIMEBOUND { return extents_.data() + rank_; }

  /// This shape with one extent replaced. Like the next two, throws ArgumentError: shape (no such axis, a negative extent, too
  /// many axes), overflow.
  [[nodiscard]] Shape with(int axis, std::int64_t extent) const;
  /// Axes [first, last) of this shape.
  [[nodiscard]] Shape slice(int first, int last) const;
  /// This shape with a new outermost extent.
  [[nodiscard]] Shape prepended(std::int64_t extent) const;

  LAMELLA_API friend bool operator==(const Shape& a, const Shape& b) noexcept;

 private:
  template <typename R>
  [[nodiscard]] static std::vector<std::int64_t> converted(const R& extents) {
    std::vector<std::int64_t> result;
    for (const auto extent : extents) result.push_back(detail::Extent(extent).value());
    return result;
  }

  std::array<std::int64_t, kMaxRank> extents_{};
  std::int64_t elements_ = 1;
  int rank_ = 0;
};

/// As Python prints a tuple: "(2, 3)", "(4,)", "()".
[[nodiscard]] LAMELLA_API std::string to_string(const Shape& shape);

/// The shape of a batch as Keras' summary writes it, from the extents of one sample, -1 where Keras has None, as
/// Model::input_shape() gives them: "(None, 3)" for {3}, "(None, None, 8)" for {-1, 8}, "(None)" for a sample of rank 0.
[[nodiscard]] LAMELLA_API std::string batch_shape_text(std::span<const std::int64_t> sample);

}  // namespace lamella
