// SPDX-License-Identifier: Apache-2.0
// Comma-separated values: RFC 4180, with LF or CRLF line ends, and a tab or a semicolon in place of the comma where the first
// line has one.
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
  /// Reads the first line. `separator`: '\0' to be found there.
  CsvReader(std::unique_ptr<ByteStream> bytes, Header header, char separator);

  [[nodiscard]] bool has_header() const noexcept { return !names_.empty(); }
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] std::size_t columns() const noexcept { return columns_; }
  [[nodiscard]] const std::string& file() const noexcept { return bytes_->name(); }
  /// Moves to the next record, which has as many fields as the first; false at the end.
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
  std::string text_;               ///< of the record, fields one after another
  std::vector<std::size_t> ends_;  ///< of the fields in it
  std::vector<std::string> names_;
  std::size_t columns_ = 0;
  std::int64_t line_ = 1;    ///< of the next record
  std::int64_t record_ = 1;  ///< line that the record at hand began in
  bool first_is_data_ = false;
};

/// Rows of one or more inputs that stand side by side in one file: by the names of the columns, "x" or "x_0", "x_1", ..., or, for
/// one input, in their order.
[[nodiscard]] std::unique_ptr<RowSource> csv_source(std::unique_ptr<CsvReader> reader, const std::vector<ArraySpec>& specs,
                                                    const std::vector<std::size_t>& inputs, const char* option);

/// The names of an array's columns: its own where a row is one number, else with "_0", "_1", ... behind it.
[[nodiscard]] std::vector<std::string> column_names(const std::string& name, std::int64_t columns);
/// As a field of a record.
[[nodiscard]] std::string csv_quoted(const std::string& text, char separator);
/// Appends the numbers of row `row`, with the fewest digits that read back as the same; nan, inf and -inf.
void append_csv_row(std::string& text, const Tensor& rows, std::int64_t row, char separator);

}  // namespace lamella::cli
