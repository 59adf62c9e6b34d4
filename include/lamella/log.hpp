// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>

#include <lamella/export.hpp>

namespace lamella {

enum class LogLevel : int {
  info = 0,     ///< what a model runs on, and what it plans
  warning = 1,  ///< something costs speed, or does not do what was asked for; results are right
};

/// Called with one line of text, which is valid during the call.
using LogFunction = std::function<void(LogLevel level, std::string_view message)>;

/// Sets the function that receives messages, from now on and in the whole process. Without one, the default, or with an empty
/// one, messages are dropped; the library never prints. Messages say what an operator may want to know:
///
/// - info: models made, and why not on a GPU; batch sizes planned, with their engines;
/// - warning: programs dropped from the cache and planned again; CUDA graphs dropped or not captured; measurements
///   (Options::tuning) that cannot be read or written; a GPU that is lost.
///
/// Errors that a call throws are not logged. The function is called by the thread to which the message belongs, at the end of its
/// call of lamella and without any lock of lamella's: it may call lamella, or set another function. Several threads may be in it
/// at once. Messages that its own calls cause are dropped, and what it throws is ignored. When another function is set, this one
/// is destroyed after the last thread has left it.
LAMELLA_API void set_log_function(LogFunction function);

}  // namespace lamella
