// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
/// A function whose calls ThreadSanitizer does not record: it begins on one stack and ends on another, or never.
#define LAMELLA_UNRECORDED __attribute__((no_sanitize_thread))
#elif defined(__SANITIZE_ADDRESS__)
#define LAMELLA_UNRECORDED \
  __attribute__((no_sanitize_address))  // it jumps: AddressSanitizer would forget what it knows of the stack
#else
#define LAMELLA_UNRECORDED
#endif

/// What ThreadSanitizer has to know of fibers, so that it takes each for a thread of its own. Nothing in other builds.
namespace lamella::host_grid::watch {

#ifdef __SANITIZE_THREAD__

/// What a thread did before release() comes before what another does after acquire() of the same address.
inline void release(void* address) { __tsan_release(address); }
inline void acquire(void* address) { __tsan_acquire(address); }

/// Reads and writes that do not count, because a device has none such.
class Unseen {
 public:
  Unseen() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unseen() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};

inline void* current() { return __tsan_get_current_fiber(); }
inline void* create() { return __tsan_create_fiber(0); }
inline void destroy(void* fiber) { __tsan_destroy_fiber(fiber); }
/// To be called just before the switch. It orders nothing.
LAMELLA_UNRECORDED inline void switch_to(void* fiber) { __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync); }

#else

inline void release(void* /*address*/) {}
inline void acquire(void* /*address*/) {}
struct Unseen {
  Unseen() {}
  ~Unseen() {}
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};
inline void* current() { return nullptr; }
inline void* create() { return nullptr; }
inline void destroy(void* /*fiber*/) {}
inline void switch_to(void* /*fiber*/) {}

#endif

}  // namespace lamella::host_grid::watch
