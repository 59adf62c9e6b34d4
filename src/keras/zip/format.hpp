// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The records of a zip archive, for its reader and its writer.
namespace lamella::keras::zip {

inline constexpr std::uint32_t kLocalMagic = 0x04034b50;
inline constexpr std::uint32_t kCentralMagic = 0x02014b50;
inline constexpr std::uint32_t kDescriptorMagic = 0x08074b50;
inline constexpr std::uint32_t kEndMagic = 0x06054b50;
inline constexpr std::uint32_t kEnd64Magic = 0x06064b50;
inline constexpr std::uint32_t kLocator64Magic = 0x07064b50;
inline constexpr std::uint64_t kEndSize = 22;
inline constexpr std::uint64_t kLocator64Size = 20;
inline constexpr std::uint64_t kEnd64Size = 56;
inline constexpr std::uint64_t kCentralSize = 46;

inline constexpr std::uint16_t kStore = 0;
inline constexpr std::uint16_t kDeflate = 8;

inline constexpr std::uint64_t kUnix = 3;  ///< the system that attributes are written for

inline constexpr std::uint64_t kMaxEntries = 65535;

}  // namespace lamella::keras::zip
