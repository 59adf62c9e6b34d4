// SPDX-License-Identifier: Apache-2.0
#include <lamella/shape.hpp>

#include <algorithm>

#include "core/check.hpp"

namespace lamella {

namespace {

void expect_rank(std::size_t rank) {
  LAMELLA_EXPECTS(rank <= Shape::kMaxRank, shape, "[Shape] rank: got {}, allowed 0..{}", rank, Shape::kMaxRank);
}

}  // namespace

Shape::Shape(std::initializer_list<detail::Extent> extents) {
  expect_rank(extents.size());
  std::array<std::int64_t, kMaxRank> values;
  std::transform(extents.begin(), extents.end(), values.begin(), [](detail::Extent extent) { return extent.value(); });
  *this = Shape(std::span<const std::int64_t>(values.data(), extents.size()));
}

Shape::Shape(std::span<const std::int64_t> extents) {
  expect_rank(extents.size());
  rank_ = static_cast<int>(extents.size());
  // The product must fit even where an extent of 0 makes it 0, so that partial products are safe everywhere.
  std::int64_t product = 1;
  bool empty = false;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    LAMELLA_EXPECTS(extents[i] >= 0, shape, "[Shape] extent of axis {}: got {}, allowed 0..", i, extents[i]);
    extents_[i] = extents[i];
    empty = empty || extents[i] == 0;
    const auto next = core::checked_mul(product, std::max<std::int64_t>(extents[i], 1));
    LAMELLA_EXPECTS(next, overflow, "[Shape] the number of elements does not fit into 64 bits");
    product = *next;
  }
  elements_ = empty ? 0 : product;
}

void detail::throw_extent_overflow() {
  core::throw_argument(ErrorCode::overflow, "[Shape] an extent does not fit into a signed 64-bit integer");
}

std::int64_t Shape::operator[](int axis) const {
  LAMELLA_EXPECTS(axis >= -rank_ && axis < rank_, shape, "[Shape] axis: got {}, allowed {}..{}", axis, -rank_, rank_ - 1);
  return extents_[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)];
}

std::int64_t Shape::elements(int first, int last) const {
  LAMELLA_EXPECTS(first >= 0 && first <= last && last <= rank_, shape, "[Shape] axes {}..{} of rank {}", first, last, rank_);
  std::int64_t product = 1;
  for (int axis = first; axis < last; ++axis) product *= extents_[static_cast<std::size_t>(axis)];
  return product;
}

Shape Shape::with(int axis, std::int64_t extent) const {
  static_cast<void>((*this)[axis]);
  auto extents = extents_;
  extents[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)] = extent;
  return Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(rank_)));
}

Shape Shape::slice(int first, int last) const {
  LAMELLA_EXPECTS(first >= 0 && first <= last && last <= rank_, shape, "[Shape] axes {}..{} of rank {}", first, last, rank_);
  return Shape(extents().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first)));
}

Shape Shape::prepended(std::int64_t extent) const {
  LAMELLA_EXPECTS(rank_ < kMaxRank, shape, "[Shape] rank: got {}, allowed 0..{}", rank_ + 1, kMaxRank);
  std::array<std::int64_t, kMaxRank> extents{};
  extents[0] = extent;
  std::copy(begin(), end(), extents.begin() + 1);
  return Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(rank_) + 1));
}

bool operator==(const Shape& a, const Shape& b) noexcept { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (const std::int64_t extent : shape) text += core::format("{}{}", text.size() > 1 ? ", " : "", extent);
  return text + (shape.rank() == 1 ? ",)" : ")");
}

std::string batch_shape_text(std::span<const std::int64_t> sample) {
  std::string text = "(None";
  for (const std::int64_t extent : sample) text += extent < 0 ? ", None" : core::format(", {}", extent);
  return text + ")";
}

}  // namespace lamella
