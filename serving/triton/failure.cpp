// SPDX-License-Identifier: Apache-2.0
#include "failure.hpp"

#include <string_view>

namespace lamella::triton {
namespace {

struct DeleteLamellaError {
  void operator()(lamella_error* error) const noexcept { lamella_error_free(error); }
};

TRITONSERVER_Error_Code code_of(std::string_view code) {
  if (code == "E_OUT_OF_MEMORY") return TRITONSERVER_ERROR_UNAVAILABLE;
  if (code == "E_UNSUPPORTED") return TRITONSERVER_ERROR_UNSUPPORTED;
  for (const std::string_view ours : {"E_INTERNAL", "E_DEVICE", "E_DEVICE_LOST", "E_IO"}) {
    if (code == ours) return TRITONSERVER_ERROR_INTERNAL;
  }
  return TRITONSERVER_ERROR_INVALID_ARG;
}

}  // namespace

void check(TRITONSERVER_Error* error) {
  if (error == nullptr) return;
  const ErrorHandle owned(error);
  throw Failure(TRITONSERVER_ErrorCode(error), TRITONSERVER_ErrorMessage(error));
}

void check(lamella_error* error, const std::string& where) {
  if (error == nullptr) return;
  const std::unique_ptr<lamella_error, DeleteLamellaError> owned(error);
  throw Failure(code_of(lamella_error_code(error)), where + lamella_error_message(error));
}

TRITONSERVER_Error* caught() noexcept {
  try {
    throw;
  } catch (const Failure& failure) {
    return TRITONSERVER_ErrorNew(failure.code(), failure.what());
  } catch (const std::bad_alloc&) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "lamella: out of host memory [E_OUT_OF_MEMORY]");
  } catch (const std::exception& error) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, error.what());
  } catch (...) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "lamella: an exception of unknown type [E_INTERNAL]");
  }
}

void log_and_delete(TRITONSERVER_Error* error) noexcept {
  if (error == nullptr) return;
  const ErrorHandle owned(error);
  const ErrorHandle unlogged(
      TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, TRITONSERVER_ErrorMessage(error)));
}

}  // namespace lamella::triton
