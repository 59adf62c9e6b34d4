// SPDX-License-Identifier: Apache-2.0
// Comma-separated values: RFC 4180, with LF or CRLF line ends, and a tab or a semicolon instead of the comma if the first line
// has one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/rows.hpp"

namespace lamella::cli {

/// Reads records. Errors are LoadErrors that name the file, the line and the column.
class CsvReader {
 public:
  /// Reads the first line. `separator`: '\0' to detect it there.
  CsvReader(std::unique_ptr<ByteStream> bytes, Header header, char separator);

  [[nodiscard]] bool has_header() const noexcept { return !names_.empty(); }
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] std::size_t columns() const noexcept { return columns_; }
  [[nodiscard]] const std::string& file() const noexcept { return bytes_->name(); }
  /// Moves to the next record, which must have as many fields as the first; false at the end.
  bool next();
  [[nodiscard]] std::string_view field(std::size_t column) const;
  [[noreturn]] void fail(std::size_t column, const std::string& what) const;

 private:
  bool read_record();
  int read_quoted();
  void end_field();
  void expect_width();
  void take_first(Header header);

  std::unique_ptr<ByteStream> bytes_;
  char separator_;
  std::string text_;               ///< of the record, its fields concatenated
  std::vector<std::size_t> ends_;  ///< ends of the fields in it
  std::vector<std::string> names_;
  std::size_t columns_ = 0;
  std::int64_t line_ = 1;    ///< of the next record
  std::int64_t record_ = 1;  ///< line on which the current record begins
  bool first_is_data_ = false;
};

/// Rows of one or more inputs side by side in one file: found by column name, "x" or "x_0", "x_1", ..., or, for one input, taken
/// in order.
[[nodiscard]] std::unique_ptr<RowSource> csv_source(std::unique_ptr<CsvReader> reader, const std::vector<ArraySpec>& specs,
                                                    const std::vector<std::size_t>& inputs, const char* option);

/// The names of an array's columns: its own if a row is one number, else followed by "_0", "_1", ...
[[nodiscard]] std::vector<std::string> column_names(const std::string& name, std::int64_t columns);
/// Quoted as a field of a record if necessary.
[[nodiscard]] std::string csv_quoted(const std::string& text, char separator);
/// Appends the numbers of row `row`, with the fewest digits that read back as the same; nan, inf and -inf.
void append_csv_row(std::string& text, const Tensor& rows, std::int64_t row, char separator);

}  // namespace lamella::cli
