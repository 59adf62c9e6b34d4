// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/declarations.hpp"

namespace ptx {
namespace {

std::uint64_t number(Cursor& cursor, std::size_t width) {
  const bool negative = cursor.take("-");
  std::uint64_t bits = 0;
  if (!number_of(cursor.peek().text, negative, width, bits)) cursor.fail("expected a number");
  cursor.next();
  return bits;
}

void values(Cursor& cursor, Variable& variable) {
  if (!cursor.take("{")) {
    variable.values.push_back(number(cursor, variable.element));
    return;
  }
  while (!cursor.take("}")) {
    if (cursor.is("{")) {
      values(cursor, variable);  // rows of an array
    } else {
      variable.values.push_back(number(cursor, variable.element));
    }
    cursor.take(",");
  }
}

}  // namespace

bool width_of(std::string_view type, std::size_t& width) {
  static const std::map<std::string_view, std::size_t> widths = {
      {".pred", 0},   {".b8", 1},   {".u8", 1},  {".s8", 1},  {".b16", 2}, {".u16", 2}, {".s16", 2},
      {".f16", 2},    {".bf16", 2}, {".b32", 4}, {".u32", 4}, {".s32", 4}, {".f32", 4}, {".f16x2", 4},
      {".bf16x2", 4}, {".b64", 8},  {".u64", 8}, {".s64", 8}, {".f64", 8}};
  const auto found = widths.find(type);
  if (found == widths.end()) return false;
  width = found->second;
  return true;
}

Variable variable_of(Cursor& cursor) {
  Variable variable;
  bool typed = false;
  bool to_pointee = false;
  while (cursor.peek().text.front() == '.') {
    const std::string_view word = cursor.next().text;
    if (word == ".align") {
      const std::uint64_t align = number(cursor, 8);
      if (!to_pointee) variable.align = align;
    } else if (word == ".ptr") {
      to_pointee = true;
    } else if (!to_pointee) {
      typed = width_of(word, variable.element);
      if (!typed) cursor.fail("a declaration with a word that is not known");
    }
  }
  if (!typed) cursor.fail("a declaration without a type");
  variable.name = std::string(cursor.next().text);
  if (variable.align < variable.element) variable.align = variable.element;
  variable.bytes = variable.element;
  while (cursor.take("[")) {
    variable.bytes *= cursor.is("]") ? 0 : number(cursor, 8);
    cursor.expect("]");
  }
  if (cursor.take("=")) values(cursor, variable);
  return variable;
}

}  // namespace ptx
