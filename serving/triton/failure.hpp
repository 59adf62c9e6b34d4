// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include <lamella/lamella.h>

#include "triton_api.hpp"

namespace lamella::triton {

/// The reason why a model is not served, or a request not answered.
class Failure : public std::runtime_error {
 public:
  Failure(TRITONSERVER_Error_Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] TRITONSERVER_Error_Code code() const noexcept { return code_; }

 private:
  TRITONSERVER_Error_Code code_;
};

/// Throws a Failure with this message.
[[noreturn]] inline void refuse(const std::string& message) { throw Failure(TRITONSERVER_ERROR_INVALID_ARG, message); }

/// Throws if a function of the server or the library returned an error; `where`, if not empty, precedes its message.
void check(TRITONSERVER_Error* error);
void check(lamella_error* error, const std::string& where = {});

struct DeleteError {
  void operator()(TRITONSERVER_Error* error) const noexcept { TRITONSERVER_ErrorDelete(error); }
};
using ErrorHandle = std::unique_ptr<TRITONSERVER_Error, DeleteError>;

/// The exception that is being handled, as an error for the server.
[[nodiscard]] TRITONSERVER_Error* caught() noexcept;

/// Null, or what `f` threw.
template <typename F>
[[nodiscard]] TRITONSERVER_Error* guarded(const F& f) noexcept {
  try {
    f();
    return nullptr;
  } catch (...) {
    return caught();
  }
}

/// For errors that cannot be reported to anyone.
void log_and_delete(TRITONSERVER_Error* error) noexcept;

}  // namespace lamella::triton
