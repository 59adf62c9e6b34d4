// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <cmath>

#include "cli/csv.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

template <typename T>
void append_number(std::string& text, T value) {
  std::array<char, 64> digits;  // NOLINT(cppcoreguidelines-pro-type-member-init): to_chars() fills it
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(value)) {  // without a sign, which readers do not accept
      text += "nan";
      return;
    }
  }
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  text.append(digits.data(), end);
}

template <typename T>
void append_row(std::string& text, const Tensor& rows, std::size_t first, std::size_t count, char separator) {
  const auto values = rows.span<T>().subspan(first, count);
  for (std::size_t i = 0; i < count; ++i) {
    if (i != 0) text += separator;
    append_number(text, values[i]);
  }
}

}  // namespace

std::vector<std::string> column_names(const std::string& name, std::int64_t columns) {
  if (columns == 1) return {name};
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < columns; ++i) names.push_back(core::format("{}_{}", name, i));
  return names;
}

std::string csv_quoted(const std::string& text, char separator) {
  const bool plain = text.find_first_of(std::string("\"\r\n") + separator) == std::string::npos;
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void append_csv_row(std::string& text, const Tensor& rows, std::int64_t row, char separator) {
  const auto count = static_cast<std::size_t>(rows.shape().elements(1, rows.shape().rank()));
  const std::size_t first = static_cast<std::size_t>(row) * count;
  switch (rows.dtype()) {
    case DType::float32:
      return append_row<float>(text, rows, first, count, separator);
    case DType::float64:
      return append_row<double>(text, rows, first, count, separator);
    case DType::uint64:
      return append_row<std::uint64_t>(text, rows, first, count, separator);
    default:
      return append_row<std::int64_t>(text, rows, first, count, separator);
  }
}

}  // namespace lamella::cli
