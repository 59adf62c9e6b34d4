// SPDX-License-Identifier: Apache-2.0
// Layers of several inputs.
#include "keras/layers/parsers.hpp"

namespace lamella::keras {

core::LayerParams parse_merge(core::MergeKind kind, const Fields& f) {
  f.expect_only({});
  return core::MergeParams{kind};
}

core::LayerParams parse_concatenate(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis"});
  return core::ConcatenateParams{f.has("axis") ? static_cast<int>(f.integer("axis", -64, 64)) : -1};
}

}  // namespace lamella::keras
