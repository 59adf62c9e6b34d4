// SPDX-License-Identifier: Apache-2.0
// The allowed values of options, and their descriptions.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lamella::cli {

/// The command line is wrong: exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "a, b, c".
[[nodiscard]] std::string listed(const std::vector<std::string>& words);
/// The most similar of the words, if one is close; else empty.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string>& words);
/// "; did you mean '...'?" if one of the words is close; else empty.
[[nodiscard]] std::string did_you_mean(std::string_view word, const std::vector<std::string>& words);

/// An integer of `least` to `most`.
[[nodiscard]] CLI::Validator integer(std::int64_t least, std::int64_t most = std::numeric_limits<std::int64_t>::max());
/// A finite number, more than 0.
[[nodiscard]] CLI::Validator positive();
/// A finite number, 0 or more.
[[nodiscard]] CLI::Validator tolerance();
/// A device's name.
[[nodiscard]] CLI::Validator device_name();
/// Restricts an option to these words, which help and shell completions list.
void take_word(CLI::Option& option, const std::vector<std::string>& words);
/// The words to which an option is restricted; empty: none.
[[nodiscard]] std::vector<std::string> words_of(const CLI::Option& option);

/// The names that to_string() gives the enumerators, which begin at 0.
template <typename Enum>
[[nodiscard]] std::vector<std::string> words_of_enum() {
  std::vector<std::string> words;
  for (int i = 0;; ++i) {
    const std::string_view word = to_string(static_cast<Enum>(i));
    if (word.starts_with("none of ")) return words;
    words.emplace_back(word);
  }
}
template <typename Enum>
[[nodiscard]] Enum value_of(const std::string& word) {
  const std::vector<std::string> words = words_of_enum<Enum>();
  return static_cast<Enum>(std::find(words.begin(), words.end(), word) - words.begin());
}

}  // namespace lamella::cli
