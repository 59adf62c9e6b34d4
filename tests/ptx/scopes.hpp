// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/ptx/declarations.hpp"

namespace ptx {

/// Allocates a program's registers; numbers have their own registers.
class Registers {
 public:
  explicit Registers(Program& program) : program_(program) {}

  [[nodiscard]] Slot make(std::size_t width);
  [[nodiscard]] Slot constant(std::uint64_t bits, std::size_t width);
  [[nodiscard]] Slot special(Special which);

 private:
  Program& program_;
  std::map<std::pair<std::uint64_t, std::size_t>, Slot> constants_;
  std::map<Special, Slot> specials_;
};

/// The meaning of names in a function's body, by nested braces.
class Scopes {
 public:
  explicit Scopes(Registers& registers) : registers_(registers) { open(); }

  void open() { scopes_.emplace_back(); }
  void close() { scopes_.pop_back(); }
  /// Reads `.reg .b32 %r<5>, x;` after its first word.
  void registers(Cursor& cursor);
  void variable(const std::string& name, const Place& place) { scopes_.back().places[name] = place; }
  [[nodiscard]] const Slot* register_of(std::string_view name);
  [[nodiscard]] const Place* place_of(std::string_view name) const;

 private:
  struct Numbered {
    std::size_t width = 0;
    std::uint64_t count = 0;
  };
  struct Scope {
    std::map<std::string, Numbered, std::less<>> numbered;
    std::map<std::string, Slot, std::less<>> registers;
    std::map<std::string, Place, std::less<>> places;
  };
  Registers& registers_;
  std::vector<Scope> scopes_;
};

}  // namespace ptx
