// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/cell.hpp"

#include <array>

#include "core/format.hpp"

namespace lamella::bench {
namespace {

constexpr std::array kLevels{Level::activation, Level::layer, Level::model};
constexpr std::array kFusions{Fusion::automatic, Fusion::none, Fusion::epilogue, Fusion::library};

template <typename Values>
auto value_in(const Values& values, const std::string& text, const char* what) {
  std::string allowed;
  for (const auto value : values) {
    if (text == to_string(value)) return value;
    allowed += core::format("{}{}", allowed.empty() ? "" : ", ", to_string(value));
  }
  throw ArgumentError(ErrorCode::value, core::format("{}: got '{}', allowed {}", what, text, allowed));
}

}  // namespace

std::string_view to_string(Level level) noexcept {
  switch (level) {
    case Level::activation:
      return "activation";
    case Level::layer:
      return "layer";
    case Level::model:
      return "model";
  }
  return "";
}
Fusion fusion_of(const std::string& text) { return value_in(kFusions, text, "--fusion"); }
Level level_of(const std::string& text) { return value_in(kLevels, text, "--level"); }

std::string row_name(const Row& row) {
  const Cell& cell = row.cell;
  std::string text(to_string(cell.level));
  if (!cell.sweep.empty()) text += "/sweep:" + cell.sweep;
  if (!cell.file.empty()) {
    text += "/" + printable(cell.file.substr(cell.file.find_last_of('/') + 1));
  } else {
    text += "/" + cell.activation;
  }
  text += core::format("/{}/batch:{}", cell.dtype ? to_string(*cell.dtype) : "as-written", cell.batch);
  if (cell.file.empty()) text += core::format("/width:{}/depth:{}", cell.width, cell.depth);
  text += core::format("/{}/engine:{}/fusion:{}", to_string(row.way.device),
                       row.way.engine.empty() ? "automatic" : row.way.engine, to_string(row.way.fusion));
  if (row.way.device.is_cuda()) text += row.way.graphs ? "/graph" : "/steps";
  return text + (row.cold ? "/cold" : "/warm");
}

}  // namespace lamella::bench
