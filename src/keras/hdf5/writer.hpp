// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/dtype.hpp>
#include <lamella/shape.hpp>

#include "keras/bytes.hpp"

namespace lamella::keras {

/// Lays out an HDF5 file of groups and contiguous datasets: superblock version 2 and object headers version 2, with a group's
/// links in its header. Format: The HDF Group, HDF5 File Format Specification 3.0.
class H5Writer {
 public:
  H5Writer();
  ~H5Writer();
  /// Creates a group and its parents, if missing. `path` is "a/b".
  void group(std::string_view path);
  /// A dataset in the group; `elements` are row-major, little-endian, and outlive the writer. Throws an internal Error for an
  /// existing name, and for dtypes other than integers, float16, float32 and float64.
  void dataset(std::string_view group, std::string_view name, const Shape& shape, DType dtype, Bytes elements);
  /// The file as consecutive parts, which refer to memory of the writer and of the elements' owners. Call once.
  [[nodiscard]] std::vector<Bytes> parts();

 private:
  struct Object;
  Object& group_at(std::string_view path);

  std::unique_ptr<Object> root_;
  std::string metadata_;
};

}  // namespace lamella::keras
