// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "keras/bytes.hpp"

namespace lamella::keras {

enum class Wrapping { none, zlib };

/// Unpacks a whole deflate stream into `out` and returns how many bytes it gave.
/// Throws LoadError(code) if the stream is damaged, ends early, unpacks to more than `out` holds, or is followed by bytes.
std::size_t inflate_into(Bytes packed, std::span<std::byte> out, Wrapping wrapping, ErrorCode code, std::string_view where);

}  // namespace lamella::keras
