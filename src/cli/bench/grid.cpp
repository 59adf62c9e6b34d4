// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/grid.hpp"

#include <algorithm>
#include <lamella/activation.hpp>
#include <set>

namespace lamella::bench {
namespace {

using Sizes = std::vector<std::int64_t>;

template <typename T>
std::vector<T> distinct(const std::vector<T>& values) {
  std::vector<T> result;
  for (const T& value : values) {
    if (std::find(result.begin(), result.end(), value) == result.end()) result.push_back(value);
  }
  return result;
}

template <typename T>
std::vector<T> or_default(const std::vector<T>& given, std::vector<T> otherwise) {
  return given.empty() ? std::move(otherwise) : distinct(given);
}

Sizes powers(std::int64_t first, std::int64_t last, std::int64_t factor) {
  Sizes sizes;
  for (std::int64_t size = first; size <= last; size *= factor) sizes.push_back(size);
  return sizes;
}

class Builder {
 public:
  explicit Builder(const Axes& axes) : axes_(axes) {}

  std::vector<Cell> build() {
    for (const std::string& file : axes_.files) add_file(file);
    if (wanted(Level::activation)) {
      cross(Level::activation, {1}, or_default(axes_.activations, {"relu", "tanh", "gelu", "softmax"}));
    }
    if (wanted(Level::layer)) cross(Level::layer, {1}, or_default(axes_.activations, {"relu", "tanh", "gelu"}));
    if (wanted(Level::model)) cross(Level::model, or_default(axes_.depths, {4}), or_default(axes_.activations, {"tanh"}));
    if (axes_.full && wanted(Level::model)) sweeps();
    if (axes_.full && axes_.batches.empty() && axes_.widths.empty()) variety();
    std::stable_sort(cells_.begin(), cells_.end(), [](const Cell& a, const Cell& b) {
      return a.level != b.level ? a.level < b.level
                                : a.batch * a.width * a.width * a.depth < b.batch * b.width * b.width * b.depth;
    });
    return cells_;
  }

 private:
  [[nodiscard]] bool wanted(Level level) const {
    if (axes_.levels.empty()) return axes_.files.empty();
    return std::find(axes_.levels.begin(), axes_.levels.end(), level) != axes_.levels.end();
  }

  void add_file(const std::string& file) {
    for (const std::int64_t batch : or_default(axes_.batches, {1, 64, 4096})) {
      if (axes_.dtypes.empty()) cells_.push_back({.level = Level::model, .file = file, .batch = batch});
      for (const DType dtype : axes_.dtypes)
        cells_.push_back({.level = Level::model, .file = file, .batch = batch, .dtype = dtype});
    }
  }

  void cross(Level level, const Sizes& depths, const std::vector<std::string>& activations) {
    const Sizes batches = or_default(axes_.batches, axes_.full ? powers(1, 16384, 4) : Sizes{1, 64, 4096});
    const Sizes widths = or_default(axes_.widths, axes_.full ? powers(64, 4096, 4) : Sizes{64, 256, 1024});
    for (const DType dtype : dtypes()) {
      for (const std::string& activation : activations) {
        for (const std::int64_t width : widths) {
          for (const std::int64_t batch : batches) {
            for (const std::int64_t depth : depths) add(level, batch, width, depth, dtype, activation);
          }
        }
      }
    }
  }

  /// Series that grow along one axis with the others fixed, to show where time stops being flat.
  void sweeps() {
    const std::string activation = axes_.activations.empty() ? "tanh" : axes_.activations.front();
    for (const DType dtype : dtypes()) {
      Cell cell{.level = Level::model, .batch = 64, .width = 256, .depth = 4, .dtype = dtype, .activation = activation};
      sweep(cell, "batch", cell.batch, powers(1, 65536, 4));
      cell.batch = 64;
      sweep(cell, "width", cell.width, powers(16, 8192, 2));
      cell.width = 256;
      sweep(cell, "depth", cell.depth, powers(1, 64, 2));
    }
  }

  /// Axes that are not crossed with every size: the other activations and dtypes.
  void variety() {
    if (axes_.activations.empty()) other_activations();
    if (axes_.dtypes.empty()) other_dtypes();
  }

  void other_activations() {
    std::set<ActivationKind> seen;
    for (const Cell& cell : cells_) seen.insert(activation_of(cell.activation).kind);
    for (const std::string_view name : activation_names()) {
      if (name == "glu" || name == "threshold") continue;  // halves the width; has no defaults
      if (!seen.insert(activation_of(name).kind).second) continue;
      for (const Level level : {Level::activation, Level::layer}) {
        if (!wanted(level)) continue;
        add(level, 64, 256, 1, dtypes().front(), std::string(name));
        add(level, 4096, 1024, 1, dtypes().front(), std::string(name));
      }
    }
  }

  void other_dtypes() {
    const std::string activation = or_default(axes_.activations, {"tanh"}).front();
    for (const DType dtype : {DType::bfloat16, DType::float16, DType::float64}) {
      for (const std::int64_t width : {256, 1024}) {
        for (const std::int64_t batch : {1, 64, 4096}) {
          if (wanted(Level::layer)) add(Level::layer, batch, width, 1, dtype, activation);
          if (wanted(Level::model)) add(Level::model, batch, width, or_default(axes_.depths, {4}).front(), dtype, activation);
        }
      }
    }
  }

  void add(Level level, std::int64_t batch, std::int64_t width, std::int64_t depth, DType dtype, const std::string& activation) {
    cells_.push_back({.level = level, .batch = batch, .width = width, .depth = depth, .dtype = dtype, .activation = activation});
  }

  void sweep(Cell& cell, const char* name, std::int64_t& axis, const Sizes& sizes) {
    cell.sweep = name;
    for (const std::int64_t size : sizes) {
      axis = size;
      cells_.push_back(cell);
    }
  }

  [[nodiscard]] std::vector<DType> dtypes() const { return or_default(axes_.dtypes, {DType::float32}); }

  const Axes& axes_;
  std::vector<Cell> cells_;
};

template <typename T>
bool passes(const std::vector<T>& filter, const T& value) {
  return filter.empty() || std::find(filter.begin(), filter.end(), value) != filter.end();
}

}  // namespace

std::vector<Cell> cells_of(const Axes& axes) { return Builder(axes).build(); }

std::vector<Way> ways_of(const Cell& cell, Device device, const std::vector<std::string>& device_engines,
                         const std::vector<std::string>& engines, const std::vector<Fusion>& fusions) {
  std::vector<Way> ways;
  if (cell.level == Level::activation) {
    ways.push_back({.device = device});
  } else {
    ways.push_back({.device = device, .fusion = Fusion::none});
    if (engines.empty() && passes(fusions, Fusion::automatic)) ways.push_back({.device = device});
  }
  if (cell.level == Level::layer) {
    for (const std::string& engine : device_engines) {
      for (const Fusion fusion : {Fusion::none, Fusion::epilogue, Fusion::library}) {
        if (passes(engines, engine) && passes(fusions, fusion))
          ways.push_back({.device = device, .engine = engine, .fusion = fusion});
      }
    }
  }
  if (device.is_cuda()) ways.push_back({.device = device, .graphs = false});
  return ways;
}

std::vector<Way> ways_of_absent(const Cell& cell, Device device, const std::vector<std::string>& engines,
                                const std::vector<Fusion>& fusions) {
  std::vector<Way> ways = ways_of(cell, device, {}, engines, fusions);
  if (cell.level != Level::layer) return ways;
  for (const std::string engine : kCudaDenseEngines) {
    if (passes(engines, engine)) ways.push_back({.device = device, .engine = engine});
  }
  return ways;
}

}  // namespace lamella::bench
