// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

namespace lamella::test {

/// Defined by the executor of kernels that a program is linked with; called for memory that kernels may use, and when it is
/// freed. `written`: kernels may read it before they have written it.
void allocated(const void* begin, std::size_t bytes, bool written);
void released(const void* begin);

/// Memory that kernels may use while this exists.
class Allocation {
 public:
  Allocation(const void* begin, std::size_t bytes, bool written) : begin_(begin) { allocated(begin, bytes, written); }
  ~Allocation() {
    if (begin_ != nullptr) released(begin_);
  }
  Allocation(Allocation&& other) noexcept : begin_(std::exchange(other.begin_, nullptr)) {}
  Allocation& operator=(Allocation&& other) noexcept {
    std::swap(begin_, other.begin_);
    return *this;
  }

 private:
  const void* begin_;
};

}  // namespace lamella::test
