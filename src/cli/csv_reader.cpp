// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <lamella/error.hpp>
#include <memory>
#include <utility>

#include "cli/csv.hpp"
#include "core/counted.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

constexpr std::size_t kLongestRecord = std::size_t{1} << 28U;
constexpr std::size_t kLineLookedAt = std::size_t{1} << 20U;  ///< searched for the separator

/// The separator of a line: a tab if it has one outside quotes, else a semicolon, else a comma.
char separator_of(std::string_view line) {
  char found = ',';
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '\t') return c;
    if (c == ';') found = c;
  }
  return found;
}

bool is_number(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error != std::errc::invalid_argument && end == text.data() + text.size();
}

}  // namespace

CsvReader::CsvReader(std::unique_ptr<ByteStream> bytes, Header header, char separator)
    : bytes_(std::move(bytes)), separator_(separator) {
  const std::string_view head = bytes_->peek(3);
  if (head.starts_with("\xFF\xFE") || head.starts_with("\xFE\xFF"))
    throw LoadError(ErrorCode::value, core::format("{}: is UTF-16; only UTF-8 is supported", printable(file())));
  if (head == "\xEF\xBB\xBF") {
    for (int i = 0; i < 3; ++i) bytes_->next();
  }
  if (separator_ == '\0') separator_ = separator_of(bytes_->peek_line(kLineLookedAt));
  if (!read_record()) throw LoadError(ErrorCode::value, core::format("{}: is empty", printable(file())));
  columns_ = ends_.size();
  take_first(header);
}

void CsvReader::fail(std::size_t column, const std::string& what) const {
  const bool named = column < names_.size() && !names_[column].empty();
  const std::string name = named ? core::format(" ('{}')", printable(names_[column])) : "";
  throw LoadError(ErrorCode::value,
                  core::format("{}: line {}, column {}{}: {}", printable(file()), record_, column + 1, name, what));
}

void CsvReader::end_field() { ends_.push_back(text_.size()); }

/// Consumes a quoted field, and returns the byte after it.
int CsvReader::read_quoted() {
  while (true) {
    int c = bytes_->next();
    if (c == '\n') ++line_;
    if (c < 0) fail(ends_.size(), "its closing quote is missing");
    if (c == '"') {
      c = bytes_->next();
      if (c != '"') return c;
    }
    text_ += static_cast<char>(c);
    if (text_.size() > kLongestRecord) fail(ends_.size(), "the record is longer than 256 MiB; are quotes missing?");
  }
}

bool CsvReader::read_record() {
  text_.clear();
  ends_.clear();
  record_ = line_;
  int c = bytes_->next();
  if (c < 0) return false;
  for (bool at_begin = true, quoted = false;; c = bytes_->next()) {
    if (c == '"' && at_begin) {
      c = read_quoted();
      quoted = true;
    }
    at_begin = c == separator_;
    if (c == '\r') {
      c = bytes_->next();
      if (c != '\n') fail(ends_.size(), "a carriage return without a line feed");
    }
    if (c < 0 || c == '\n' || c == separator_) {
      end_field();
      quoted = false;
      if (c == separator_) continue;
      if (c == '\n') ++line_;
      return true;
    }
    if (c == '\0') fail(ends_.size(), "a NUL byte; this is not a text file");
    if (quoted) fail(ends_.size(), "text follows the closing quote of a field");
    if (c == '"') fail(ends_.size(), "a quote inside of a field that does not begin with one");
    text_ += static_cast<char>(c);
    if (text_.size() > kLongestRecord) fail(ends_.size(), "the line is longer than 256 MiB");
  }
}

std::string_view CsvReader::field(std::size_t column) const {
  const std::size_t begin = column == 0 ? 0 : ends_[column - 1];
  return std::string_view(text_).substr(begin, ends_[column] - begin);
}

void CsvReader::take_first(Header header) {
  std::size_t numbers = 0;
  std::size_t words = 0;
  bool counts = columns_ > 1;
  for (std::size_t i = 0; i < columns_; ++i) {
    const bool number = is_number(field(i));
    numbers += number ? 1 : 0;
    words += !number && !field(i).empty() ? 1 : 0;
    counts = counts && field(i) == core::format("{}", i);
  }
  constexpr const char* kSay = "; --header yes or --header no says which";
  if (header == Header::automatic && numbers > 0 && words > 0) {
    std::size_t word = 0;
    while (field(word).empty() || is_number(field(word))) ++word;
    fail(word, core::format("got '{}' in a line that has numbers too: names or numbers?{}", printable(field(word).substr(0, 40)),
                            kSay));
  }
  if (header == Header::automatic && counts)
    fail(0, core::format("the first line counts, 0 to {}: names or numbers?{}", columns_ - 1, kSay));
  first_is_data_ = header == Header::no || (header == Header::automatic && words == 0);
  if (first_is_data_) return;
  for (std::size_t i = 0; i < columns_; ++i) names_.emplace_back(field(i));
}

void CsvReader::expect_width() {
  if (ends_.size() == columns_) return;
  const bool many = ends_.size() > columns_;
  fail(std::min(ends_.size(), columns_),
       core::format("{}; every line needs {}, as the first one has", many ? "is one field too many" : "is missing",
                    core::counted(static_cast<std::int64_t>(columns_), "field")));
}

bool CsvReader::next() {
  if (first_is_data_) {
    first_is_data_ = false;
    return true;
  }
  const auto is_blank = [this] { return ends_.size() == 1 && text_.empty(); };
  if (!read_record()) return false;
  if (!is_blank()) {
    expect_width();
    return true;
  }
  const std::int64_t blank = record_;
  while (read_record()) {
    if (is_blank()) continue;
    record_ = blank;
    fail(0, "the line is empty, but not the last");
  }
  return false;
}

}  // namespace lamella::cli
