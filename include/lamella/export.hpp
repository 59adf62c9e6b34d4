// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __cplusplus < 202002L
#error "lamella needs C++20: compile with -std=c++20 or later"
#endif

/// Only symbols with this mark are exported from the library.
#define LAMELLA_API __attribute__((visibility("default")))

/// The result of this function or constructor refers to the object or argument marked so: compilers that know the mark warn if
/// the result outlives it.
#if defined(__clang__) && defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::lifetimebound)
#define LAMELLA_LIFETIMEBOUND [[clang::lifetimebound]]
#endif
#elif defined(_MSC_VER) && defined(__has_cpp_attribute)
#if __has_cpp_attribute(msvc::lifetimebound)
#define LAMELLA_LIFETIMEBOUND [[msvc::lifetimebound]]
#endif
#endif
#ifndef LAMELLA_LIFETIMEBOUND
#define LAMELLA_LIFETIMEBOUND
#endif
