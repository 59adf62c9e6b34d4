// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(_MSVC_LANG)  // MSVC's __cplusplus is that of C++98, unless it is called with /Zc:__cplusplus
#if _MSVC_LANG < 202002L
#error "lamella needs C++20: compile with /std:c++20 or later"
#endif
#elif __cplusplus < 202002L
#error "lamella needs C++20: compile with -std=c++20 or later"
#endif

/// Only symbols with this mark are exported from the library. On Windows, on which lamella does not build yet, LAMELLA_EXPORTS is
/// for the library's own sources, and LAMELLA_STATIC for them and for programs if it is a static library.
#if !defined(_WIN32)
#define LAMELLA_API __attribute__((visibility("default")))
#elif defined(LAMELLA_STATIC)
#define LAMELLA_API
#elif defined(LAMELLA_EXPORTS)
#define LAMELLA_API __declspec(dllexport)
#else
#define LAMELLA_API __declspec(dllimport)
#endif

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
