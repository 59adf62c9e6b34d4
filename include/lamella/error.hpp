// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include <lamella/export.hpp>

namespace lamella {

/// What went wrong. Every message ends with the name in brackets: `[E_SHAPE]`.
enum class ErrorCode {
  argument,       ///< the caller broke a rule of the interface
  io,             ///< a file could not be opened, read or written
  archive,        ///< a file is neither an archive nor a model, or its zip container is damaged
  json,           ///< a JSON member is not JSON, or not what its layer needs
  hdf5,           ///< an HDF5 container is damaged
  unsafe,         ///< the file would run code, or refers to data outside itself
  unsupported,    ///< valid in Keras, not available in lamella
  limit,          ///< a size in a file exceeds lamella's limits
  missing,        ///< something required is missing
  shape,          ///< a shape does not fit
  dtype,          ///< a data type does not fit
  value,          ///< a value is outside what is allowed
  overflow,       ///< a size does not fit into 64 bits
  device,         ///< a device is absent or refused a call
  device_lost,    ///< a device failed for good; only a new process recovers it
  out_of_memory,  ///< device memory, or the share that Options::memory_limit allows, ran out
  cancelled,      ///< the caller requested a stop before the work was done
  internal,       ///< lamella broke its own rules; please report it
};

/// "E_SHAPE" and so on.
[[nodiscard]] LAMELLA_API std::string_view to_string(ErrorCode code) noexcept;

/// Text made safe for a terminal or a log: control bytes, invalid UTF-8, marks that reverse text and zero-width characters
/// become \xNN. Layer names come from files.
[[nodiscard]] LAMELLA_API std::string printable(std::string_view text);

/// Base of every exception that the library throws, with one exception: when host memory runs out, it throws std::bad_alloc.
/// what() is one line: where, what was found, what is allowed, and the code in brackets.
class LAMELLA_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message);
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;
  ~Error() override;

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// The caller broke a rule: a wrong shape in predict(), an unknown name of an activation.
class LAMELLA_API ArgumentError : public Error {
 public:
  using Error::Error;
  ~ArgumentError() override;
};

/// A file cannot be read as a model, weights or array. Nothing half-built remains.
/// what() reads `FILE!member:/hdf5/path: layer 'dense_3' field 'units': got -1, allowed 1..2147483647 [E_VALUE]`.
class LAMELLA_API LoadError : public Error {
 public:
  using Error::Error;
  ~LoadError() override;
};

/// A device is absent, refused a call, or is lost.
class LAMELLA_API DeviceError : public Error {
 public:
  using Error::Error;
  ~DeviceError() override;
};

}  // namespace lamella
