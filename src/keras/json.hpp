// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "keras/bytes.hpp"
#include "keras/where.hpp"

namespace lamella::keras {

/// JSON as Python's json module writes it: NaN, Infinity and -Infinity are allowed as numbers. Integers are exact or refused.
/// Throws LoadError: json, limit (64 MiB, 64 levels, a million values) or overflow, with the byte position.
[[nodiscard]] nlohmann::json parse_json(Bytes text, const Where& where);

}  // namespace lamella::keras
