// SPDX-License-Identifier: Apache-2.0
// Converts the numbers of a CSV file to rows of inputs.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <lamella/error.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "cli/csv.hpp"
#include "cli/words.hpp"
#include "core/counted.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

/// The range of an integer type.
struct Range {
  std::int64_t least = std::numeric_limits<std::int64_t>::min();
  std::uint64_t most = std::numeric_limits<std::int64_t>::max();
};

Range range_of(DType dtype) {
  if (dtype == DType::boolean) return {0, 1};
  const std::string_view name = to_string(dtype);
  const unsigned bits = static_cast<unsigned>(size_of(dtype)) * 8;
  const std::uint64_t all = ~std::uint64_t{0} >> (64U - bits);
  if (name.starts_with('u')) return {0, all};
  return {-static_cast<std::int64_t>(all >> 1U) - 1, all >> 1U};
}

/// One input's columns, and the values read from them.
struct Group {
  std::size_t input = 0;
  ArraySpec spec;
  std::vector<std::size_t> columns;
  DType stored = DType::float32;  ///< float32, float64, int64 or uint64
  std::vector<std::byte> bytes;

  template <typename T>
  void append(T value) {
    const auto* const at = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), at, at + sizeof value);
  }
  Tensor take(std::int64_t rows) {
    std::vector<std::int64_t> extents{rows};
    extents.insert(extents.end(), spec.sample.begin(), spec.sample.end());
    Tensor values = Tensor::copy_of(TensorView(bytes.empty() ? nullptr : bytes.data(), Shape(extents), stored));
    bytes.clear();
    return is_floating(stored) || stored == spec.dtype ? std::move(values) : values.to(spec.dtype);
  }
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// std::from_chars does not accept a plus sign.
std::string_view without_plus(std::string_view text) {
  const bool signs = text.size() > 1 && (text[1] == '-' || text[1] == '+');
  return text.starts_with('+') && !signs ? text.substr(1) : text;
}

std::string found(std::string_view text) { return core::format("got '{}'", printable(text.substr(0, 40))); }

template <typename T>
T floating(const CsvReader& reader, std::size_t column, std::string_view text) {
  const std::string_view digits = without_plus(text);
  T value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::invalid_argument || end != digits.data() + digits.size()) {
    const bool comma = text.find(',') != std::string_view::npos;
    reader.fail(column, core::format("{}, allowed a number{}", found(text), comma ? " with a decimal point, as in 1.5" : ""));
  }
  if (error == std::errc{}) return value;
  // Out of range: an overflow, or an underflow, which gives 0.
  const double wide = std::strtod(std::string(digits).c_str(), nullptr);
  if (std::fabs(wide) < 1) return std::copysign(T{0}, static_cast<T>(wide));
  reader.fail(column, core::format("{}, which {} cannot hold", found(text), to_string(dtype_v<T>)));
}

void append_integer(const CsvReader& reader, std::size_t column, std::string_view text, Group& group) {
  const bool is_bool = group.spec.dtype == DType::boolean;
  if (is_bool && (text == "true" || text == "True" || text == "TRUE")) return group.append(std::int64_t{1});
  if (is_bool && (text == "false" || text == "False" || text == "FALSE")) return group.append(std::int64_t{0});
  const Range range = range_of(group.spec.dtype);
  const std::string_view digits = without_plus(text);
  const bool negative = digits.starts_with('-');
  std::int64_t value = 0;
  std::uint64_t magnitude = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] =
      negative ? std::from_chars(digits.data(), last, value) : std::from_chars(digits.data(), last, magnitude);
  const bool fits = negative ? value >= range.least : magnitude <= range.most;
  if (error != std::errc{} || end != last || !fits) {
    reader.fail(column, core::format("{}, allowed an integer, {} to {}{}", found(text), range.least, range.most,
                                     is_bool ? ", true or false" : ""));
  }
  if (group.stored == DType::uint64) return group.append(magnitude);
  group.append(negative ? value : static_cast<std::int64_t>(magnitude));
}

void append_value(const CsvReader& reader, std::size_t column, Group& group) {
  const std::string_view text = trimmed(reader.field(column));
  if (text.empty()) reader.fail(column, "is empty; write a missing number as nan");
  if (group.stored == DType::float32) return group.append(floating<float>(reader, column, text));
  if (group.stored == DType::float64) return group.append(floating<double>(reader, column, text));
  append_integer(reader, column, text, group);
}

class CsvSource final : public RowSource {
 public:
  CsvSource(std::unique_ptr<CsvReader> reader, std::vector<Group> groups)
      : reader_(std::move(reader)), groups_(std::move(groups)) {}

  [[nodiscard]] std::size_t row_bytes() const override {
    std::size_t bytes = 0;
    for (const Group& group : groups_) bytes += group.columns.size() * size_of(group.stored);
    return bytes;
  }
  void next(std::int64_t most, std::vector<Tensor>& inputs) override {
    std::int64_t rows = 0;
    for (; rows < most && reader_->next(); ++rows) {
      for (Group& group : groups_) {
        for (const std::size_t column : group.columns) append_value(*reader_, column, group);
      }
    }
    for (Group& group : groups_) inputs[group.input] = group.take(rows);
  }

 private:
  std::unique_ptr<CsvReader> reader_;
  std::vector<Group> groups_;
};

DType stored_as(DType dtype) {
  if (dtype == DType::float32 || dtype == DType::uint64) return dtype;
  return is_floating(dtype) ? DType::float64 : DType::int64;
}

/// All columns in order, for the one input; infers an open extent of its shape.
std::vector<std::size_t> all_columns(const CsvReader& reader, ArraySpec& spec, const char* option) {
  const auto columns = static_cast<std::int64_t>(reader.columns());
  std::int64_t known = 1;
  std::int64_t* open = nullptr;
  bool fits = true;
  for (std::int64_t& extent : spec.sample) {
    fits = fits && (extent >= 0 || open == nullptr);
    if (extent < 0)
      open = &extent;
    else
      known *= extent;
  }
  fits = fits && (open == nullptr ? known == columns : known != 0 && columns % known == 0);
  if (!fits) {
    const bool index = reader.has_header() && reader.names()[0].empty();
    throw ArgumentError(
        ErrorCode::shape,
        core::format("{}: '{}' has {}; '{}' is {}{}{}", option, printable(reader.file()), core::counted(columns, "column"),
                     spec.name, batch_shape_text(spec.sample),
                     open == nullptr ? core::format(", {} per row", core::counted(known, "number")) : "",
                     index ? "; the first column has no name, as pandas' index has none: index=False leaves it out" : ""));
  }
  if (open != nullptr) *open = columns / known;
  std::vector<std::size_t> result(reader.columns());
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = i;
  return result;
}

/// The columns named after the input; nothing if any is missing.
std::optional<std::vector<std::size_t>> named_columns(const CsvReader& reader, const ArraySpec& spec) {
  if (!reader.has_header()) return std::nullopt;
  std::int64_t elements = 1;
  for (const std::int64_t extent : spec.sample) {
    if (extent < 0 || (extent != 0 && elements > static_cast<std::int64_t>(reader.columns()))) return std::nullopt;
    elements *= extent;
  }
  if (elements == 0 || elements > static_cast<std::int64_t>(reader.columns())) return std::nullopt;
  std::vector<std::size_t> result;
  for (const std::string& name : column_names(spec.name, elements)) {
    const auto at = std::find(reader.names().begin(), reader.names().end(), name);
    if (at == reader.names().end()) return std::nullopt;
    result.push_back(static_cast<std::size_t>(at - reader.names().begin()));
  }
  return result;
}

}  // namespace

std::unique_ptr<RowSource> csv_source(std::unique_ptr<CsvReader> reader, const std::vector<ArraySpec>& specs,
                                      const std::vector<std::size_t>& inputs, const char* option) {
  std::vector<Group> groups;
  for (const std::size_t input : inputs) {
    Group group{.input = input, .spec = specs[input], .columns = {}, .stored = stored_as(specs[input].dtype), .bytes = {}};
    if (auto columns = named_columns(*reader, group.spec)) {
      group.columns = std::move(*columns);
    } else if (inputs.size() == 1) {
      group.columns = all_columns(*reader, group.spec, option);
    } else {
      throw ArgumentError(
          ErrorCode::missing,
          core::format(
              "{}: '{}' has no columns for '{}', {}; they are called '{}', or '{}_0', '{}_1' and so on, in the first line",
              option, printable(reader->file()), group.spec.name, batch_shape_text(group.spec.sample), group.spec.name,
              group.spec.name, group.spec.name));
    }
    groups.push_back(std::move(group));
  }
  return std::make_unique<CsvSource>(std::move(reader), std::move(groups));
}

}  // namespace lamella::cli
