// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <new>

namespace lamella::core {

/// std::bad_alloc with the requested size. Does not allocate.
class HostMemoryError final : public std::bad_alloc {
 public:
  HostMemoryError(const char* where, std::size_t bytes) noexcept {
    static_cast<void>(std::snprintf(text_.data(), text_.size(), "%s %zu bytes of host memory [E_OUT_OF_MEMORY]", where, bytes));
  }
  [[nodiscard]] const char* what() const noexcept override { return text_.data(); }

 private:
  std::array<char, 160> text_;
};

}  // namespace lamella::core
