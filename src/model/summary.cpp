// SPDX-License-Identifier: Apache-2.0
// The table that Keras' Model.summary() prints: same columns, same totals.
#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "core/format.hpp"
#include "keras/stored.hpp"
#include "model/impl.hpp"
#include "model/open_shapes.hpp"

namespace lamella {
namespace model {
namespace {

constexpr std::size_t kWidth = 80;

struct Count {
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
  std::int64_t fixed_elements = 0;  ///< of those, not changed by training
  std::int64_t fixed_bytes = 0;
};

void add(const core::LayerSpec& layer, Count& count, std::set<const void*>& seen) {
  if (!seen.insert(&layer).second) return;
  if (has_given_statistics(layer)) return;
  const bool normalization = std::holds_alternative<core::NormalizationParams>(layer.params);
  for (const core::Weight& w : layer.weights) {
    if (!seen.insert(w.value.get()).second) continue;  // shared layers count once
    if (normalization && w.name == "mean") {           // Keras has an additional int32 'count', which inference does not need
      count.elements += 1;
      count.bytes += 4;
      count.fixed_elements += 1;
      count.fixed_bytes += 4;
    }
    const std::int64_t elements = w.value->shape().elements();
    const auto bytes = static_cast<std::int64_t>(w.value->bytes());
    count.elements += elements;
    count.bytes += bytes;
    if (keras::is_trained(layer, w.name)) continue;
    count.fixed_elements += elements;
    count.fixed_bytes += bytes;
  }
  if (const core::ModelSpec* nested = core::nested_model(layer)) {
    for (const auto& inner : nested->layers) add(*inner, count, seen);
  }
  if (const core::LayerSpec* inside = core::layer_inside(layer)) add(*inside, count, seen);
}

std::string with_commas(std::int64_t number) {
  std::string text = core::format("{}", number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string readable(std::int64_t bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "KB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, "%.2f %s", value, kUnits[unit]));
  return text;
}

/// The columns that UTF-8 text takes on a terminal: one per code point, close enough for names.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

/// The number of bytes of `text` that fill `width` columns.
std::size_t prefix(std::string_view text, std::size_t width) {
  std::size_t at = 0;
  for (std::size_t used = 0; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
    if (begins && used++ == width) break;
  }
  return at;
}

/// Wraps at spaces to lines of at most `width` columns; longer words are cut.
std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  for (std::size_t most = prefix(text, width); most < text.size(); most = prefix(text, width)) {
    const std::size_t space = text.rfind(' ', most);
    const bool cut = space == std::string_view::npos || space == 0;
    lines.emplace_back(text.substr(0, cut ? most : space));
    text.remove_prefix(cut ? most : space + 1);
  }
  lines.emplace_back(text);
  return lines;
}

/// The box that Keras draws.
class Table {
 public:
  explicit Table(std::vector<std::size_t> widths) : widths_(std::move(widths)) {}

  void head(const std::vector<std::string>& cells) {
    rule("┏", "━", "┳", "┓");
    row(cells, "┃");
    rule("┡", "━", "╇", "┩");
  }
  void body(const std::vector<std::string>& cells) {
    if (rows_++ > 0) rule("├", "─", "┼", "┤");
    row(cells, "│");
  }
  [[nodiscard]] std::string done() {
    rule("└", "─", "┴", "┘");
    return std::move(text_);
  }

 private:
  static constexpr std::size_t kNumbers = 2;  // the right-aligned column

  void rule(const char* left, const char* line, const char* cross, const char* right) {
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      text_ += i == 0 ? left : cross;
      for (std::size_t k = 0; k < widths_[i] + 2; ++k) text_ += line;
    }
    text_ += core::format("{}\n", right);
  }
  void row(const std::vector<std::string>& cells, const char* border) {
    std::vector<std::vector<std::string>> columns_of;
    std::size_t lines = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      columns_of.push_back(wrapped(cells[i], widths_[i]));
      lines = std::max(lines, columns_of.back().size());
    }
    for (std::size_t line = 0; line < lines; ++line) {
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string text = line < columns_of[i].size() ? columns_of[i][line] : "";
        const std::string space(widths_[i] - columns(text), ' ');
        text_ += core::format("{} {} ", border, i == kNumbers ? space + text : text + space);
      }
      text_ += core::format("{}\n", border);
    }
  }

  std::vector<std::size_t> widths_;
  std::string text_;
  int rows_ = 0;
};

/// The sample shapes of each node's outputs; empty where lowering stops before it: running the model reports why.
std::vector<std::vector<SampleShape>> output_shapes(const core::ModelSpec& spec) {
  std::vector<SampleShape> inputs;
  for (const core::ValueRef& ref : spec.inputs) {
    const auto& layer = *spec.layers.at(static_cast<std::size_t>(spec.nodes.at(static_cast<std::size_t>(ref.node)).layer));
    const auto& batch_shape = std::get<core::InputParams>(layer.params).batch_shape;
    SampleShape& sample = inputs.emplace_back();
    for (std::size_t i = 1; i < batch_shape.size(); ++i) sample.push_back(batch_shape[i].value_or(-1));
  }
  return infer_open_shapes(inputs, [&](const std::vector<Shape>& closed) { return node_shapes(spec, closed); });
}

/// Whether each node takes the output of the one before it: Keras' table then has no "Connected to".
bool is_chain(const core::ModelSpec& spec) {
  if (spec.class_name == "Sequential") return true;
  if (spec.nodes.size() != spec.layers.size()) return false;
  for (std::size_t n = 0; n < spec.nodes.size(); ++n) {
    const auto& inputs = spec.nodes[n].inputs;
    if (n == 0 ? !inputs.empty() : inputs.size() != 1 || inputs[0].node != static_cast<int>(n) - 1) return false;
  }
  return true;
}

/// The contents of a row besides its layer's name and count.
struct Row {
  std::string shapes;
  std::string connections;
};

std::vector<Row> rows_of(const core::ModelSpec& spec) {
  const auto shapes = output_shapes(spec);
  std::vector<std::vector<std::string>> distinct(spec.layers.size());
  std::vector<Row> rows(spec.layers.size());
  std::vector<int> calls(spec.layers.size(), 0);
  std::vector<int> call_of(spec.nodes.size());
  for (std::size_t n = 0; n < spec.nodes.size(); ++n) {
    const auto layer = static_cast<std::size_t>(spec.nodes[n].layer);
    call_of[n] = calls[layer]++;
    std::string text;
    for (const SampleShape& shape : shapes[n]) text += (text.empty() ? "" : ", ") + batch_shape_text(shape);
    if (shapes[n].size() > 1) text = core::format("[{}]", text);
    auto& known = distinct[layer];
    if (!text.empty() && std::find(known.begin(), known.end(), text) == known.end()) known.push_back(text);
    for (const core::ValueRef& ref : spec.nodes[n].inputs) {
      const auto from = static_cast<std::size_t>(ref.node);
      const core::LayerSpec& source = *spec.layers[static_cast<std::size_t>(spec.nodes[from].layer)];
      rows[layer].connections += core::format("{}{}[{}][{}]", rows[layer].connections.empty() ? "" : ", ",
                                              core::escaped(source.name), call_of[from], ref.output);
    }
  }
  for (std::size_t l = 0; l < rows.size(); ++l) {
    for (const std::string& text : distinct[l]) rows[l].shapes += (rows[l].shapes.empty() ? "" : ", ") + text;
    if (distinct[l].empty()) rows[l].shapes = "?";
    if (rows[l].connections.empty()) rows[l].connections = "-";
  }
  return rows;
}

void take_notes(const core::ModelSpec& spec, std::set<std::string>& notes, std::set<const void*>& seen) {
  if (!seen.insert(&spec).second) return;
  const auto note = [&](const ActivationSpec& activation) {
    if (activation.kind == ActivationKind::HardSigmoidKeras2) notes.insert("hard_sigmoid is Keras 2's clip(0.2x + 0.5, 0, 1).");
    if (activation.kind == ActivationKind::HardSigmoid) notes.insert("hard_sigmoid is Keras 3's clip(x/6 + 0.5, 0, 1).");
  };
  const auto look = [&](const auto& self, const core::LayerSpec& layer) -> void {
    std::visit(
        [&](const auto& params) {
          if constexpr (requires { params.activation; }) note(params.activation);
        },
        layer.params);
    if (const core::ModelSpec* nested = core::nested_model(layer)) take_notes(*nested, notes, seen);
    if (const core::LayerSpec* inside = core::layer_inside(layer)) self(self, *inside);
  };
  for (const auto& layer : spec.layers) look(look, *layer);
}

/// Widths of the columns; `number` is the longest count of parameters. Names of Keras' own layers are not cut; counts never are,
/// so a graph with ten million parameters is a few columns wider.
std::vector<std::size_t> widths_for(bool chain, std::size_t number) {
  constexpr std::size_t kBorders = 3;  // a cell's border and spaces
  constexpr std::size_t kLayer = 26;
  constexpr std::size_t kConnections = 26;
  constexpr std::size_t kLeast = 6;
  if (chain) {
    const std::size_t count = std::max<std::size_t>(14, number);
    return {32, kWidth - 1 - 3 * kBorders - 32 - count, count};
  }
  const std::size_t count = std::max<std::size_t>(7, number);
  const std::size_t rest = kWidth - 1 - 4 * kBorders - kLayer - kConnections;
  return {kLayer, rest > count + kLeast ? rest - count : kLeast, count, kConnections};
}

std::string total(const char* what, std::int64_t elements, std::int64_t bytes) {
  return core::format(" {} params: {} ({})\n", what, with_commas(elements), readable(bytes));
}

}  // namespace

std::string summary_of(const core::ModelSpec& spec) {
  const bool chain = is_chain(spec);
  Count whole;
  std::set<const void*> whole_seen;
  for (const auto& layer : spec.layers) add(*layer, whole, whole_seen);
  Table table(widths_for(chain, with_commas(whole.elements).size()));
  const auto cells = [chain](std::vector<std::string> texts) {
    if (chain) texts.pop_back();
    return texts;
  };
  table.head(cells({"Layer (type)", "Output Shape", "Param #", "Connected to"}));
  const std::vector<Row> rows = rows_of(spec);
  Count all;
  std::set<const void*> seen;
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const core::LayerSpec& layer = *spec.layers[l];
    Count own;
    std::set<const void*> own_seen;
    add(layer, own, own_seen);
    add(layer, all, seen);
    if (spec.class_name == "Sequential" && std::holds_alternative<core::InputParams>(layer.params)) continue;
    table.body(cells({core::format("{} ({})", core::escaped(layer.name), core::escaped(layer.class_name)), rows[l].shapes,
                      with_commas(own.elements), rows[l].connections}));
  }
  std::string text =
      core::format("Model: \"{}\"\n{}{}{}{}", core::escaped(spec.name), table.done(), total("Total", all.elements, all.bytes),
                   total("Trainable", all.elements - all.fixed_elements, all.bytes - all.fixed_bytes),
                   total("Non-trainable", all.fixed_elements, all.fixed_bytes));
  std::set<std::string> notes;
  std::set<const void*> noted;
  take_notes(spec, notes, noted);
  for (const std::string& line : notes) text += " " + line + "\n";
  return text;
}

}  // namespace model

std::int64_t Model::count_params() const {
  model::Count total;
  std::set<const void*> seen;
  for (const auto& layer : impl_->spec->layers) model::add(*layer, total, seen);
  return total.elements;
}

}  // namespace lamella
