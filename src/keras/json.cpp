// SPDX-License-Identifier: Apache-2.0
#include "keras/json.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <vector>

#include "core/owned_json.hpp"

namespace lamella::keras {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes = std::size_t{64} << 20U;
constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxValues = 1'000'000;

/// An iterator over the text that tracks the reading position.
class Place {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Place(const char* at, const char** furthest) noexcept : at_(at), furthest_(furthest) {}
  reference operator*() const noexcept { return *at_; }
  Place& operator++() noexcept {
    ++at_;
    *furthest_ = at_;
    return *this;
  }
  Place operator++(int) noexcept {
    const Place before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Place& a, const Place& b) noexcept { return a.at_ == b.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

/// One of Python's literals, which is the `number`-th number of the text.
struct Literal {
  std::size_t number;
  double value;
};

struct Spelling {
  std::string_view text;
  double value;
};
constexpr Spelling kSpellings[] = {{"NaN", std::numeric_limits<double>::quiet_NaN()},
                                   {"Infinity", std::numeric_limits<double>::infinity()},
                                   {"-Infinity", -std::numeric_limits<double>::infinity()}};

/// Whether a value may begin after `before`, so that "5NaN" stays invalid.
bool value_may_follow(char before) { return std::strchr(" \t\r\n[,:", before) != nullptr && before != '\0'; }

/// Overwrites each of Python's literals with 0, keeping every other byte in place. Stops if there are too many values: the reader
/// then refuses the text.
std::vector<Literal> take_literals(std::string& text) {
  std::vector<Literal> found;
  std::size_t numbers = 0;
  for (std::size_t i = 0; i < text.size() && found.size() <= kMaxValues;) {
    if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') ++i;
      }
      ++i;
      continue;
    }
    const auto* literal = std::find_if(std::begin(kSpellings), std::end(kSpellings),
                                       [&](const Spelling& s) { return text.compare(i, s.text.size(), s.text) == 0; });
    if (literal != std::end(kSpellings) && (i == 0 || value_may_follow(text[i - 1]))) {
      found.push_back({numbers++, literal->value});
      text.replace(i, literal->text.size(), literal->text.size(), ' ');
      text[i] = '0';
      i += literal->text.size();
    } else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
      ++numbers;
      i = std::min(text.find_first_not_of("0123456789+-.eE", i), text.size());
    } else {
      ++i;
    }
  }
  return found;
}

/// Builds the document from the parser's events, within the limits.
class Builder : public nlohmann::json_sax<json> {
 public:
  Builder(const Where& where, const char* begin, const char* const* furthest, std::vector<Literal> literals)
      : where_(where), begin_(begin), furthest_(furthest), literals_(std::move(literals)) {}

  bool null() override { return put(json(nullptr)); }
  bool boolean(bool value) override { return put(json(value)); }
  bool number_integer(number_integer_t value) override { return number(json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(json(value)); }
  bool number_float(number_float_t value, const string_t& spelling) override {
    if (spelling.find_first_of(".eE") == string_t::npos) {
      refuse(ErrorCode::overflow, "the integer {} does not fit into 64 bits", core::escaped(spelling, 64));
    }
    return number(json(value));
  }
  bool string(string_t& value) override { return put(json(std::move(value))); }
  bool binary(binary_t&) override { refuse(ErrorCode::json, "a binary value"); }

  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    if (open_.back()->contains(value)) refuse(ErrorCode::json, "the key '{}' appears twice in one object", core::escaped(value));
    key_ = std::move(value);
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    std::string_view text = error.what();
    text.remove_prefix(std::min(text.find("] ") + 2, text.size()));
    refuse(ErrorCode::json, "{}", core::escaped(text));
  }

  json take() { return std::move(*root_); }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(ErrorCode code, core::FormatString<Args...> message, const Args&... args) const {
    where_.fail(code, "near byte {}: {}", *furthest_ - begin_, core::format(message, args...));
  }

  bool number(json value) {
    if (next_literal_ < literals_.size() && literals_[next_literal_].number == numbers_) value = literals_[next_literal_++].value;
    ++numbers_;
    return put(std::move(value));
  }

  bool put(json value) {
    place(std::move(value));
    return true;
  }

  json& place(json value) {
    if (++values_ > kMaxValues) refuse(ErrorCode::limit, "more than {} values", kMaxValues);
    if (open_.empty()) return *root_ = std::move(value);
    json& parent = *open_.back();
    if (parent.is_object()) return parent[key_] = std::move(value);
    parent.push_back(std::move(value));
    return parent.back();
  }

  bool open(json value) {
    if (open_.size() == kMaxDepth) refuse(ErrorCode::limit, "nested deeper than {} levels", kMaxDepth);
    open_.push_back(&place(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const Where& where_;
  const char* begin_;
  const char* const* furthest_;
  std::vector<Literal> literals_;
  std::size_t next_literal_ = 0;
  std::size_t numbers_ = 0;
  std::size_t values_ = 0;
  core::OwnedJson<json> root_;
  std::vector<json*> open_;  // an element never moves while it is open: only the innermost container grows
  std::string key_;
};

void refuse_other_encodings(std::string_view text, const Where& where) {
  if (text.starts_with("\xEF\xBB\xBF")) where.fail(ErrorCode::json, "begins with a byte order mark, expected plain UTF-8");
  const bool wide =
      text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF") || (text.size() > 1 && (text[0] == '\0' || text[1] == '\0'));
  if (wide) where.fail(ErrorCode::json, "is UTF-16 or UTF-32, expected UTF-8");
}

}  // namespace

json parse_json(Bytes bytes, const Where& where) {
  if (bytes.size() > kMaxBytes) where.fail(ErrorCode::limit, "JSON of {} bytes, allowed {}", bytes.size(), kMaxBytes);
  if (bytes.empty()) where.fail(ErrorCode::json, "is empty, expected JSON");
  refuse_other_encodings(as_text(bytes), where);
  // The parser would take it for the end of the text and ignore the rest.
  if (const std::size_t nul = as_text(bytes).find('\0'); nul != std::string_view::npos)
    where.fail(ErrorCode::json, "a NUL byte at byte {}", nul);
  std::string text(as_text(bytes));
  std::vector<Literal> literals = take_literals(text);
  const char* furthest = text.data();
  Builder builder(where, text.data(), &furthest, std::move(literals));
  const char* const end = text.data() + text.size();
  static_cast<void>(json::sax_parse(Place(text.data(), &furthest), Place(end, &furthest), &builder));
  return builder.take();
}

}  // namespace lamella::keras
