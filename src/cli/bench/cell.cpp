// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/cell.hpp"

#include <array>
#include <utility>

namespace lamella::bench {
namespace {

constexpr std::array<std::pair<Level, const char*>, 3> kLevels{
    {{Level::activation, "activation"}, {Level::layer, "layer"}, {Level::model, "model"}}};
constexpr std::array<std::pair<Fusion, const char*>, 4> kFusions{
    {{Fusion::automatic, "automatic"}, {Fusion::none, "none"}, {Fusion::epilogue, "epilogue"}, {Fusion::library, "library"}}};

template <typename Table, typename T>
const char* name_in(const Table& table, T value) noexcept {
  for (const auto& [known, text] : table) {
    if (known == value) return text;
  }
  return "";
}

template <typename Table>
auto value_in(const Table& table, const std::string& text, const char* what) {
  std::string allowed;
  for (const auto& [value, known] : table) {
    if (text == known) return value;
    allowed += std::string(allowed.empty() ? "" : ", ") + known;
  }
  throw ArgumentError(ErrorCode::value, std::string(what) + ": got '" + text + "', allowed " + allowed);
}

}  // namespace

const char* name(Level level) noexcept { return name_in(kLevels, level); }
const char* name(Fusion fusion) noexcept { return name_in(kFusions, fusion); }
Fusion fusion_of(const std::string& text) { return value_in(kFusions, text, "--fusion"); }
Level level_of(const std::string& text) { return value_in(kLevels, text, "--level"); }

std::string row_name(const Row& row) {
  const Cell& cell = row.cell;
  std::string text = name(cell.level);
  if (!cell.sweep.empty()) text += "/sweep:" + cell.sweep;
  if (!cell.file.empty()) {
    text += "/" + printable(cell.file.substr(cell.file.find_last_of('/') + 1));
  } else {
    text += "/" + cell.activation;
  }
  text += "/" + std::string(cell.dtype ? lamella::name(*cell.dtype) : "as-written") + "/batch:" + std::to_string(cell.batch);
  if (cell.file.empty()) text += "/width:" + std::to_string(cell.width) + "/depth:" + std::to_string(cell.depth);
  text += "/" + to_string(row.way.device) + "/engine:" + (row.way.engine.empty() ? "automatic" : row.way.engine);
  text += std::string("/fusion:") + name(row.way.fusion);
  if (row.way.device.is_cuda()) text += row.way.graphs ? "/graph" : "/steps";
  return text + (row.cold ? "/cold" : "/warm");
}

}  // namespace lamella::bench
