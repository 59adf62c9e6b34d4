// SPDX-License-Identifier: Apache-2.0
#include "cli/words.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <sstream>

#include <lamella/device.hpp>
#include <lamella/error.hpp>

#include "core/format.hpp"

namespace lamella::cli {
namespace {

constexpr const char kBetweenWords = '|';

/// Edit distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t k = 0; k < b.size(); ++k) {
      const std::size_t changed = diagonal + (a[i] == b[k] ? 0 : 1);
      diagonal = row[k + 1];
      row[k + 1] = std::min({changed, row[k] + 1, diagonal + 1});
    }
  }
  return row.back();
}

template <typename T>
bool reads(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

CLI::Validator number_that(bool (*fits)(double), const char* allowed) {
  return CLI::Validator(
      [fits, allowed](const std::string& text) -> std::string {
        double value = 0;
        const bool good = reads(text, value) && std::isfinite(value) && fits(value);
        return good ? "" : core::format("got '{}', allowed a finite number, {}", text, allowed);
      },
      "");
}

}  // namespace

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string nearest(std::string_view word, const std::vector<std::string>& words) {
  constexpr std::size_t kLongest = 64;  // longer words are not typing errors
  if (word.size() > kLongest) return {};
  std::string best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& one : words) {
    const std::size_t away = distance(word, one);
    if (away >= least || away >= one.size()) continue;
    least = away;
    best = one;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& words) {
  const std::string near = nearest(word, words);
  return near.empty() ? "" : core::format("; did you mean '{}'?", near);
}

CLI::Validator integer(std::int64_t least, std::int64_t most) {
  const std::string allowed = most == std::numeric_limits<std::int64_t>::max() ? core::format("{} or more", least)
                                                                               : core::format("{} to {}", least, most);
  return CLI::Validator(
      [least, most, allowed](const std::string& text) -> std::string {
        std::int64_t value = 0;
        const bool good = reads(text, value) && value >= least && value <= most;
        return good ? "" : core::format("got '{}', allowed an integer, {}", text, allowed);
      },
      "");
}

CLI::Validator positive() {
  return number_that([](double value) { return value > 0; }, "more than 0");
}

CLI::Validator tolerance() {
  return number_that([](double value) { return value >= 0; }, "0 or more");
}

CLI::Validator device_name() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        try {
          static_cast<void>(Device::parse(text));
        } catch (const ArgumentError&) {
          return core::format("got '{}', allowed auto, cpu, cuda, cuda:N", text);
        }
        return {};
      },
      "");
}

void take_word(CLI::Option& option, const std::vector<std::string>& words) {
  std::string type;
  for (const std::string& word : words) type += (type.empty() ? "" : std::string(1, kBetweenWords)) + word;
  option.type_name(type);
  option.check(CLI::Validator(
      [words](const std::string& text) -> std::string {
        if (std::find(words.begin(), words.end(), text) != words.end()) return {};
        return core::format("got '{}', allowed {}{}", text, listed(words), did_you_mean(text, words));
      },
      ""));
}

std::vector<std::string> words_of(const CLI::Option& option) {
  std::vector<std::string> words;
  std::istringstream type(option.get_type_name());
  for (std::string word; std::getline(type, word, kBetweenWords);) words.push_back(word);
  return words.size() > 1 ? words : std::vector<std::string>{};
}

}  // namespace lamella::cli
