// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything in the library is hidden but what carries this mark.
#define LAMELLA_API __attribute__((visibility("default")))
