// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __cplusplus < 202002L
#error "lamella needs C++20: compile with -std=c++20 or later"
#endif

/// Everything in the library is hidden but what carries this mark.
#define LAMELLA_API __attribute__((visibility("default")))
