// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/ptx/program.hpp"
#include "tests/ptx/text.hpp"

namespace ptx {

/// The declaration of a variable or parameter.
struct Variable {
  std::string name;
  std::size_t align = 1;
  std::size_t bytes = 0;    ///< 0: the launch gives the size
  std::size_t element = 1;  ///< bytes
  std::vector<std::uint64_t> values = {};
};

/// Reads what follows the word of the state space, up to the end of the declaration: , ; or ).
[[nodiscard]] Variable variable_of(Cursor& cursor);

/// Bytes of a type such as .f32; 0 for .pred, none for other words.
[[nodiscard]] bool width_of(std::string_view type, std::size_t& width);

/// The next free place for a variable; moves `end` past it.
[[nodiscard]] inline std::size_t place(std::size_t& end, const Variable& variable) {
  const std::size_t at = (end + variable.align - 1) / variable.align * variable.align;
  end = at + variable.bytes;
  return at;
}

struct Function {
  std::string name;
  bool is_kernel = false;
  std::vector<Variable> results;
  std::vector<Variable> parameters;
  unsigned most_threads = 1024;
  std::string_view body;  ///< between its braces
  int body_line = 0;
};

/// The address of a variable of the module.
struct Place {
  Space space = Space::global;
  std::uint64_t address = 0;
};

struct Module::Impl {
  std::string text;
  std::string target;
  std::map<std::string, Function, std::less<>> functions;
  std::map<std::string, Place, std::less<>> places;
  std::deque<std::vector<std::uint64_t>> storage;  ///< of global and constant variables
  std::vector<std::pair<std::uintptr_t, std::size_t>> globals;
  std::size_t shared_bytes = 0;             ///< of the module's static shared variables
  std::vector<std::string> dynamic_shared;  ///< the names of shared memory declared without a size
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<Program>, std::less<>> programs;
};

[[nodiscard]] std::unique_ptr<Program> read_kernel(const Module::Impl& module, const Function& kernel);

}  // namespace ptx
