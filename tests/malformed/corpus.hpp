// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lamella::malformed {

enum class Verdict { refused, accepted, either };

struct Matrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<float> values;
};

/// A file of the corpus, and what must happen to it.
struct Case {
  std::string family;
  Verdict verdict = Verdict::either;
  std::string codes;  ///< "E_ZIP|E_LIMIT"; empty: any
  std::vector<std::string> words;
  std::string bytes;
  Matrix x;  ///< for accepted files
  Matrix y;
};

/// Reads the corpus that pack.py wrote, case by case. Ends the program if the corpus itself is damaged.
class Corpus {
 public:
  explicit Corpus(const std::string& path);
  [[nodiscard]] std::size_t size() const { return at_.size(); }
  [[nodiscard]] Case read(std::size_t index) const;

 private:
  [[nodiscard]] Case parse(std::size_t& at) const;
  [[nodiscard]] std::uint64_t number(std::size_t& at, std::size_t bytes) const;
  [[nodiscard]] std::string text(std::size_t& at, std::size_t length) const;
  [[nodiscard]] Matrix matrix(std::size_t& at) const;

  const char* data_ = nullptr;  // mapped, and shared by all workers
  std::size_t size_ = 0;
  std::vector<std::size_t> at_;
  std::map<std::uint64_t, std::pair<std::size_t, std::size_t>> bases_;
};

}  // namespace lamella::malformed
