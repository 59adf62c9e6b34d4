// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace ptx {

/// The PTX texts in what nvcc gives to __cudaRegisterFatBinary. Throws ParseError for compressed ones.
[[nodiscard]] std::vector<std::string> texts_of_fat_binary(const void* wrapper);

}  // namespace ptx
