// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __cplusplus < 202002L
#error "lamella needs C++20: compile with -std=c++20 or later"
#endif

/// Everything in the library is hidden but what carries this mark.
#define LAMELLA_API __attribute__((visibility("default")))

/// What is returned, or made by this constructor, refers to the object or argument marked so: compilers that know the mark warn
/// where it outlives that.
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
