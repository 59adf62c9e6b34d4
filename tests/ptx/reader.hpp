// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/scopes.hpp"

namespace ptx {

/// Parses a kernel. Called functions are inlined, once per call.
class Reader {
 public:
  Reader(const Module::Impl& module, Program& program) : module_(module), program_(program), registers_(program) {}

  void kernel(const Function& function);

 private:
  /// A body that is being parsed.
  struct Body {
    Cursor cursor;
    Scopes scopes;
    std::map<std::string, std::uint32_t, std::less<>> labels = {};
    std::map<std::string, std::vector<std::string>, std::less<>> tables = {};  ///< .branchtargets
    struct Jump {
      std::uint32_t instruction;
      std::string label;
    };
    std::vector<Jump> jumps = {};
  };
  /// An operand before its kind is known.
  struct Operand {
    enum class Kind { slot, number, place, nothing } kind = Kind::nothing;
    Slot slot = {};
    std::string_view number = {};
    bool negative = false;
    std::uint64_t address = 0;
  };

  struct Operands {
    std::vector<Operand> all = {};
    std::string braces = {};       ///< .first2: the first operand is a vector of two; .second2
    const Place* place = nullptr;  ///< of the addressed variable
  };

  void body(Body& body, bool called);
  void statement(Body& body, bool called);
  void declare(Body& body, Space space);
  void instruction(Body& body, bool called);
  bool control(Body& body, std::string_view opcode, Instruction& in, bool called);
  void call(Body& body);
  void jump(Body& body, const Instruction& in, const std::vector<std::string>& labels);
  Operands operands(Body& body, Instruction& in);
  Operand operand(Body& body);
  const Place* address(Body& body, Instruction& in);
  [[nodiscard]] const Place* place_of(const Body& body, std::string_view name) const;
  void bind(Body& body, const Form& form, const std::vector<Operand>& operands, Instruction& in);
  Slot slot_of(Body& body, const Operand& operand, Role role, const Form& form);

  const Module::Impl& module_;
  Program& program_;
  Registers registers_;
  int depth_ = 0;  ///< of calls
};

}  // namespace ptx
