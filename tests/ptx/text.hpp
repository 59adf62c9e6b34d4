// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ptx {

/// A word (letters, digits, _ $ % .), a string, or one other character.
struct Token {
  std::string_view text;
  int line = 0;
};

[[nodiscard]] std::vector<Token> tokens_of(std::string_view text, int first_line);

/// Tokens from front to back. Reading past the end throws ParseError.
class Cursor {
 public:
  Cursor(std::vector<Token> tokens, std::string_view where) : tokens_(std::move(tokens)), where_(where) {}

  [[nodiscard]] bool done() const { return at_ >= tokens_.size(); }
  [[nodiscard]] bool is(std::string_view text, std::size_t ahead = 0) const {
    return at_ + ahead < tokens_.size() && tokens_[at_ + ahead].text == text;
  }
  [[nodiscard]] const Token& peek() const;
  const Token& next();
  bool take(std::string_view text);
  void expect(std::string_view text);
  /// Moves past the next `text`.
  void skip_past(std::string_view text);
  /// The text from here to the next semicolon; later errors name it.
  std::string_view statement();
  [[noreturn]] void fail(std::string_view why) const;

 private:
  std::vector<Token> tokens_;
  std::string_view where_;
  std::size_t at_ = 0;
  std::string_view statement_ = {};
};

/// Converts a number of PTX (decimal, 0x, 0f or 0d) to bits of a width; false if it is none.
[[nodiscard]] bool number_of(std::string_view text, bool negative, std::size_t width, std::uint64_t& bits);

}  // namespace ptx
