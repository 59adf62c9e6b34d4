// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <lamella/export.hpp>
#include <lamella/shape.hpp>

/// Constants that broadcast over an array as numpy does, in as few axes as tell them apart.
namespace lamella::ops {

/// An array of outer * sample elements, row-major, and the shape of each constant: of the sample's rank, an extent for each axis
/// along which the constant varies and 1 for the others. Every constant is the same for each of the `outer` samples.
struct Broadcast {
  std::int64_t outer = 1;
  Shape sample;
  std::vector<Shape> constants;
};

/// The same elements and constants in the fewest axes: neighbours that no constant tells apart become one, and leading ones along
/// which no constant varies become `outer`. Each constant has the rank of `whole`, and its extents or 1. Throws ArgumentError
/// (overflow).
[[nodiscard]] Broadcast collapsed(const Shape& whole, const std::vector<Shape>& constants);

/// Whether `constant` has the rank of `sample` and in each axis its extent or 1.
[[nodiscard]] bool broadcasts(const Shape& constant, const Shape& sample);

/// How far apart neighbours along each axis of `sample` are in the constant: 0 where it is the same for all of them. Exported for
/// the CUDA plugin.
[[nodiscard]] LAMELLA_API std::array<std::int64_t, Shape::kMaxRank> constant_strides(const Shape& constant, const Shape& sample);

}  // namespace lamella::ops
