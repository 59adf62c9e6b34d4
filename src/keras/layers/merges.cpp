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
      {"Add", merge<core::CombineKind::add>},
      {"Subtract", merge<core::CombineKind::subtract>},
      {"Multiply", merge<core::CombineKind::multiply>},
      {"Average", merge<core::CombineKind::average>},
      {"Maximum", merge<core::CombineKind::maximum>},
      {"Minimum", merge<core::CombineKind::minimum>},
      {"Concatenate", parse_concatenate},
  };
  return rows;
}

}  // namespace lamella::keras
