// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace lamella::cli {
namespace {

constexpr int kWidth = 30;
constexpr int kWholeLine = 79;

}  // namespace

Progress::Progress(std::int64_t total, bool wanted) : total_(total), shown_(wanted && ::isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (drawn_) std::fprintf(stderr, "\r%*s\r", kWholeLine, "");
}

double Progress::seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }

void Progress::at(std::int64_t done) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || now - begin_ < std::chrono::seconds(1) || now - last_ < std::chrono::milliseconds(50)) return;
  last_ = now;
  drawn_ = true;
  const double rate = static_cast<double>(done) / seconds();
  if (total_ <= 0) {
    std::fprintf(stderr, "\r%lld rows, %.0f rows/s ", static_cast<long long>(done), rate);
    return;
  }
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  const auto filled = static_cast<std::size_t>(part * kWidth);
  std::fprintf(stderr, "\r[%s%s] %.0f%%, %.0f rows/s, %.0f s left  ", std::string(filled, '=').c_str(),
               std::string(kWidth - filled, ' ').c_str(), 100 * part, rate,
               static_cast<double>(total_ - done) / std::max(rate, 1.0));
}

}  // namespace lamella::cli
