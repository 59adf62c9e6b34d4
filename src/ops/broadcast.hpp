// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <lamella/export.hpp>
#include <lamella/shape.hpp>

/// Constants that broadcast over an array as in numpy, reduced to as few axes as possible.
namespace lamella::ops {

/// An array of outer * sample elements, row-major, and the shape of each constant: of the sample's rank, with 1 for each axis
/// along which the constant does not vary. Every constant is the same for each of the `outer` samples.
struct Broadcast {
  std::int64_t outer = 1;
  Shape sample;
  std::vector<Shape> constants;
};

/// The same elements and constants in the fewest axes: adjacent axes that all constants treat alike are merged, and leading axes
/// along which no constant varies become `outer`. Each constant has the rank of `whole`, and its extents or 1. Throws
/// ArgumentError (overflow).
[[nodiscard]] Broadcast collapsed(const Shape& whole, const std::vector<Shape>& constants);

/// Whether `constant` has the rank of `sample`, and its extent or 1 in each axis.
[[nodiscard]] bool broadcasts(const Shape& constant, const Shape& sample);

/// The constant's stride along each axis of `sample`: 0 where it does not vary. Exported for the CUDA
/// plugin.
[[nodiscard]] LAMELLA_API std::array<std::int64_t, Shape::kMaxRank> constant_strides(const Shape& constant, const Shape& sample);

}  // namespace lamella::ops
