// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keras/hdf5/file.hpp"

namespace lamella::keras::hdf5 {

/// The bytes of the local heap that holds an old group's names.
[[nodiscard]] Bytes local_heap(const Image& image, std::uint64_t address, std::string_view place);
/// One object of a global heap collection, where strings of variable length are kept.
[[nodiscard]] Bytes global_heap_object(const Image& image, std::uint64_t address, std::uint32_t index, std::string_view place);

/// The heap that holds the links or attributes of an object that has many.
class FractalHeap {
 public:
  FractalHeap(const Image& image, std::uint64_t address, std::string_view place);
  [[nodiscard]] std::size_t id_size() const noexcept { return id_size_; }
  [[nodiscard]] Bytes object(Bytes id) const;

 private:
  struct Row {
    std::uint64_t block_size;
    bool direct;
  };
  [[nodiscard]] Row row(std::uint64_t index) const;
  [[nodiscard]] Bytes managed(std::uint64_t offset, std::uint64_t size) const;

  const Image& image_;
  std::string place_;
  std::size_t id_size_ = 0;
  std::size_t offset_bytes_ = 0;
  std::size_t length_bytes_ = 0;
  std::uint64_t width_ = 0;
  std::uint64_t start_size_ = 0;
  std::uint64_t max_direct_ = 0;
  std::uint64_t root_ = 0;
  std::uint64_t root_rows_ = 0;
  std::uint64_t max_object_ = 0;
};

/// All records of a version 2 B-tree of this type, in order.
[[nodiscard]] std::vector<Bytes> tree_records(const Image& image, std::uint64_t address, int type, std::string_view place);

}  // namespace lamella::keras::hdf5
