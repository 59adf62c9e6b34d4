// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "cli/bench/output.hpp"

namespace lamella::bench {

Progress::Progress(std::size_t total) : total_(total), shown_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (shown_) static_cast<void>(std::fprintf(stderr, "\r\033[K"));
}

void Progress::begin(const std::string& what) {
  constexpr std::size_t kWidth = 30;
  ++begun_;
  if (!shown_) return;
  const std::size_t filled = total_ == 0 ? kWidth : (begun_ - 1) * kWidth / total_;
  static_cast<void>(std::fprintf(stderr, "\r\033[K[%s%s] %zu/%zu %.60s", std::string(filled, '=').c_str(),
                                 std::string(kWidth - filled, ' ').c_str(), begun_, total_, what.c_str()));
}

}  // namespace lamella::bench
