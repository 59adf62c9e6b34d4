// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/text.hpp"

#include <bit>
#include <charconv>
#include <cstdint>
#include <string>

#include "tests/ptx/ptx.hpp"

namespace ptx {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c == '%' ||
         c == '.';
}

std::size_t end_of_comment(std::string_view text, std::size_t at) {
  const bool line = text[at + 1] == '/';
  const std::size_t end = text.find(line ? "\n" : "*/", at + 2);
  return end == std::string_view::npos ? text.size() : end + (line ? 0 : 2);
}

/// Reads exactly `count` hexadecimal digits.
bool hexadecimal(std::string_view digits, std::uint64_t& bits) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16);
  return error == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

std::vector<Token> tokens_of(std::string_view text, int first_line) {
  std::vector<Token> tokens;
  int line = first_line;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    const char c = text[at];
    if (c == '/' && at + 1 < text.size() && (text[at + 1] == '/' || text[at + 1] == '*')) {
      end = end_of_comment(text, at);
    } else if (c == '"') {
      end = text.find('"', at + 1);
      end = end == std::string_view::npos ? text.size() : end + 1;
      tokens.push_back({text.substr(at, end - at), line});
    } else if (is_word(c)) {
      while (end < text.size() && (is_word(text[end]) || text.substr(end, 2) == "::")) end += is_word(text[end]) ? 1 : 2;
      tokens.push_back({text.substr(at, end - at), line});
    } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
      tokens.push_back({text.substr(at, 1), line});
    }
    for (; at < end; ++at) line += text[at] == '\n' ? 1 : 0;
  }
  return tokens;
}

const Token& Cursor::peek() const {
  if (done()) fail("the text ends early");
  return tokens_[at_];
}

const Token& Cursor::next() {
  const Token& token = peek();
  ++at_;
  return token;
}

bool Cursor::take(std::string_view text) {
  if (!is(text)) return false;
  ++at_;
  return true;
}

void Cursor::expect(std::string_view text) {
  if (!take(text)) fail("expected '" + std::string(text) + "'");
}

void Cursor::skip_past(std::string_view text) {
  while (!take(text)) next();
}

std::string_view Cursor::statement() {
  std::size_t end = at_;
  while (end < tokens_.size() && tokens_[end].text != ";") ++end;
  if (end >= tokens_.size()) fail("a statement without its end");
  const char* const first = tokens_[at_].text.data();
  statement_ = {first, static_cast<std::size_t>(tokens_[end].text.data() - first)};
  return statement_;
}

void Cursor::fail(std::string_view why) const {
  const bool end = at_ >= tokens_.size();
  const int line = tokens_.empty() ? 0 : tokens_[end ? tokens_.size() - 1 : at_].line;
  const std::string_view near = !statement_.empty() ? statement_ : (end ? std::string_view("the end") : tokens_[at_].text);
  throw ParseError(std::string(where_) + ", line " + std::to_string(line) + ": " + std::string(why) + ": " + std::string(near));
}

bool number_of(std::string_view text, bool negative, std::size_t width, std::uint64_t& bits) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  const std::string_view prefix = text.substr(0, 2);
  if (prefix == "0f" || prefix == "0F" || prefix == "0d" || prefix == "0D") {
    const bool single = prefix[1] == 'f' || prefix[1] == 'F';
    if (text.size() != (single ? 10U : 18U) || !hexadecimal(text.substr(2), bits)) return false;
    if (single && width == 8)
      bits = std::bit_cast<std::uint64_t>(static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits))));
    if (!single && width == 4) bits = std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
    if (negative) bits ^= std::uint64_t{1} << (8 * width - 1);
    return width >= 4;
  }
  if (text.back() == 'U') text.remove_suffix(1);
  const bool hex = prefix == "0x" || prefix == "0X";
  if (hex) text.remove_prefix(2);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, hex ? 16 : 10);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if (negative) bits = 0 - bits;
  return true;
}

}  // namespace ptx
