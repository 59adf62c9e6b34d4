// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "keras/bytes.hpp"

namespace lamella::keras {

/// The CRC-32 of zip, using carry-less multiplication if the processor has it.
[[nodiscard]] std::uint32_t crc32(Bytes bytes) noexcept;

}  // namespace lamella::keras
