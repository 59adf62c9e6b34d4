// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keras/bytes.hpp"

namespace lamella::keras {

/// What a file that is not a Keras model seems to be, and what to do about it: "is a Git LFS pointer; ...". `head` is its
/// beginning.
[[nodiscard]] std::string foreign_file(Bytes head, std::uint64_t size);
/// The same for a folder without config.json; empty if nothing is recognised.
[[nodiscard]] std::string foreign_folder(const std::string& path);

}  // namespace lamella::keras
