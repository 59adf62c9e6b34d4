// SPDX-License-Identifier: Apache-2.0
// Layers of several inputs.
#include "keras/layers/parsers.hpp"

namespace lamella::keras {
namespace {

template <core::CombineKind K>
core::LayerParams merge(const Fields& f, const std::string&, Reading&) {
  f.expect_only({});
  return core::MergeParams{K};
}

core::LayerParams parse_concatenate(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis"});
  return core::ConcatenateParams{f.has("axis") ? static_cast<int>(f.integer("axis", -64, 64)) : -1};
}

}  // namespace

std::span<const LayerClass> merge_layers() {
  static constexpr LayerClass rows[] = {
      // Any number of inputs. Integers and bools: [these types](keras-files.md#integers-and-bools). Masks:
      // [Behaviour](keras-files.md#behaviour).
      {"Add", merge<core::CombineKind::add>},

      // Exactly two inputs, not of bool.
      {"Subtract", merge<core::CombineKind::subtract>},

      // Any number of inputs. Integers and bools: [these types](keras-files.md#integers-and-bools). Masks:
      // [Behaviour](keras-files.md#behaviour).
      {"Multiply", merge<core::CombineKind::multiply>},
      {"Average", merge<core::CombineKind::average>},
      {"Maximum", merge<core::CombineKind::maximum>},
      {"Minimum", merge<core::CombineKind::minimum>},

      {"Concatenate", parse_concatenate},
  };
  return rows;
}

}  // namespace lamella::keras
