// SPDX-License-Identifier: Apache-2.0
#include "cpu/convert.hpp"

#include <cstring>

namespace lamella::cpu {

void widen(float* dst, const void* src, DType from, std::int64_t n) {
  visit_floating(from, [&](auto t) {
    using T = decltype(t);
    const T* s = static_cast<const T*>(src);
    for (std::int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(s[i]);
  });
}

void narrow(void* dst, const float* src, DType to, std::int64_t n) {
  visit_floating(to, [&](auto t) {
    using T = decltype(t);
    T* d = static_cast<T*>(dst);
    for (std::int64_t i = 0; i < n; ++i) d[i] = static_cast<T>(src[i]);
  });
}

}  // namespace lamella::cpu
