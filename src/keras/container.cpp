// SPDX-License-Identifier: Apache-2.0
#include "keras/container.hpp"

#include <sys/stat.h>

#include "keras/arrays.hpp"
#include "keras/foreign.hpp"
#include "keras/hdf5/hdf5.hpp"

namespace lamella::keras {

bool is_directory(const std::string& path) {
  struct stat status {};
  return path.find('\0') == std::string::npos && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Container container_of(const FileBytes::Glance& glance, std::uint64_t size, Wanted wanted, const Where& where) {
  constexpr std::size_t kHead = 4096;
  const std::string head = glance(0, kHead);
  const Bytes bytes = std::as_bytes(std::span(head));
  if (wanted == Wanted::weights && looks_like_npz(bytes)) return Container::npz;
  if (wanted == Wanted::weights && looks_like_safetensors(bytes, size)) return Container::safetensors;
  // Checks for an archive first: the weights in it may begin where an HDF5 file with a user block would.
  if (Archive::looks_like(bytes) && !looks_like_npz(bytes)) return Container::archive;
  if (H5File::looks_like(bytes)) return Container::hdf5;
  if (wanted == Wanted::weights && head.starts_with('{')) return Container::text;
  for (std::uint64_t at = kHead; at < size && at <= size / 2; at *= 2) {  // after a large user block
    const std::string there = glance(at, 8);
    if (H5File::looks_like(std::as_bytes(std::span(there)))) return Container::hdf5;
  }
  where.fail(ErrorCode::archive, "{}", foreign_file(bytes, size));
}

std::pair<Container, OwnedBytes> read_container(const std::string& path, Wanted wanted) {
  Container found{};
  OwnedBytes bytes = FileBytes(path, [&](const FileBytes::Glance& glance, std::uint64_t size) {
                       found = container_of(glance, size, wanted, Where(path));
                     }).contents();
  return {found, std::move(bytes)};
}

bool Members::contains(const std::string& name) const {
  struct stat status {};
  return archive_ ? archive_->contains(name) : ::stat((folder_ + "/" + name).c_str(), &status) == 0;
}

OwnedBytes Members::member(const std::string& name) const {
  return archive_ ? archive_->member(name) : FileBytes(folder_ + "/" + name).contents();
}

}  // namespace lamella::keras
