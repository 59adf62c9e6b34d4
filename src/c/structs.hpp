// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "c/boundary.hpp"

/// The callers' structs of lamella.h, which begin with their struct_size. A program compiled with an older header has smaller
/// ones, one compiled with a newer header larger ones. A struct grows at its end only, by fields whose default is 0 or NULL, and
/// never into its old padding, which callers need not clear.
namespace lamella::c {

/// The size of a struct in version 0.1, up to the end of its last field; it never changes. Smaller ones are refused.
template <typename T>
inline constexpr std::size_t kFirstSize = 0;
template <>
inline constexpr std::size_t kFirstSize<lamella_tensor> = offsetof(lamella_tensor, device_index) + sizeof(std::int32_t);
template <>
inline constexpr std::size_t kFirstSize<lamella_stats> = offsetof(lamella_stats, graphs) + sizeof(std::int64_t);

/// The struct_size of a caller's struct. Throws ArgumentError (argument) if it is less than version 0.1's.
template <typename T>
std::size_t struct_size_of(const void* at, const Where& where) {
  static_assert(kFirstSize<T> != 0 && kFirstSize<T> <= sizeof(T) && offsetof(T, struct_size) == 0);
  std::size_t size = 0;
  std::memcpy(&size, at, sizeof size);
  LAMELLA_EXPECTS(size >= kFirstSize<T>, argument, "{}: struct_size: got {}, allowed {}..", where.text(), size, kFirstSize<T>);
  return size;
}

/// Element `i` of a caller's array, whose elements are as far apart as the first one is large. Fields that the caller's struct
/// does not have are 0 or NULL. Throws ArgumentError (argument) unless the element has the first one's struct_size.
template <typename T>
T read_struct(const T* first, std::size_t i, const Where& where) {
  const auto step = struct_size_of<T>(first, where);
  const auto* const at = reinterpret_cast<const std::byte*>(first) + i * step;
  const auto size = struct_size_of<T>(at, where);
  LAMELLA_EXPECTS(size == step, argument, "{}: struct_size: got {}, allowed {}, as in the first element of the array",
                  where.text(), size, step);
  T fields{};
  std::memcpy(&fields, at, std::min(size, sizeof(T)));
  return fields;
}

/// Writes those fields that the caller's struct has; its struct_size and what lies past the fields stay as they are. Throws as
/// struct_size_of() does.
template <typename T>
void write_struct(T fields, T* to, const Where& where) {
  fields.struct_size = struct_size_of<T>(to, where);
  std::memcpy(to, &fields, std::min(fields.struct_size, sizeof(T)));
}

}  // namespace lamella::c
