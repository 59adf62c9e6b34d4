// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace ptx {

/// The PTX texts in the argument of __cudaRegisterFatBinary. Throws ParseError for compressed ones.
[[nodiscard]] std::vector<std::string> texts_of_fat_binary(const void* wrapper);

}  // namespace ptx
