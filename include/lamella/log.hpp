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

/// The function that is told, from now on and in the whole process, what an operator may want to know as it happens: models made,
/// and why not on a GPU; batch sizes planned, with their engines; programs dropped from the cache and planned again; CUDA graphs
/// dropped or not captured; measurements (Options::tuning) that cannot be read or written; a GPU that is lost. Errors that a call
/// throws are not logged. Empty: nobody is told, which is the default; nothing is ever printed. It is called by the thread to
/// which the message belongs, at the end of its call of lamella, with no lock of lamella's held: it may call lamella, set another
/// function, or none. Threads may be in it at once. What it causes itself is not logged, and what it throws is ignored. A thread
/// that is in it while another function is set finishes; the function lives until then.
LAMELLA_API void set_log_function(LogFunction function);

}  // namespace lamella
