// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "tests/ptx/reader.hpp"

namespace ptx {
namespace {

const Special* special_of(std::string_view name) {
  static const std::map<std::string_view, Special> specials = {{"%tid.x", Special::tid_x},
                                                               {"%tid.y", Special::tid_y},
                                                               {"%tid.z", Special::tid_z},
                                                               {"%ntid.x", Special::ntid_x},
                                                               {"%ntid.y", Special::ntid_y},
                                                               {"%ntid.z", Special::ntid_z},
                                                               {"%ctaid.x", Special::ctaid_x},
                                                               {"%ctaid.y", Special::ctaid_y},
                                                               {"%ctaid.z", Special::ctaid_z},
                                                               {"%nctaid.x", Special::nctaid_x},
                                                               {"%nctaid.y", Special::nctaid_y},
                                                               {"%nctaid.z", Special::nctaid_z},
                                                               {"%laneid", Special::laneid},
                                                               {"%warpid", Special::warpid},
                                                               {"%cluster_ctarank", Special::cluster_rank},
                                                               {"%cluster_nctarank", Special::cluster_blocks}};
  const auto found = specials.find(name);
  return found == specials.end() ? nullptr : &found->second;
}

}  // namespace

const Place* Reader::place_of(const Body& body, std::string_view name) const {
  if (const Place* place = body.scopes.place_of(name)) return place;
  const auto found = module_.places.find(name);
  return found == module_.places.end() ? nullptr : &found->second;
}

Reader::Operand Reader::operand(Body& body) {
  Cursor& cursor = body.cursor;
  Operand result;
  result.negative = cursor.take("-");
  const std::string_view word = cursor.peek().text;
  std::uint64_t bits = 0;
  if (word == "_") {
    result.kind = Operand::Kind::nothing;
  } else if (const Special* special = special_of(word)) {
    result.kind = Operand::Kind::slot;
    result.slot = registers_.special(*special);
  } else if (const Slot* slot = body.scopes.register_of(word)) {
    result.kind = Operand::Kind::slot;
    result.slot = *slot;
  } else if (const Place* place = place_of(body, word)) {
    result.kind = Operand::Kind::place;
    result.address = place->address;
  } else if (number_of(word, result.negative, 8, bits)) {
    result.kind = Operand::Kind::number;
    result.number = word;
  } else {
    cursor.fail("an operand that is not known");
  }
  cursor.next();
  return result;
}

/// [register], [register+4], [variable], [variable+4]: the variable.
const Place* Reader::address(Body& body, Instruction& in) {
  Cursor& cursor = body.cursor;
  const Place* const place = place_of(body, cursor.peek().text);
  Address& next = in.address.base.width == 0 ? in.address : in.source;
  if (place != nullptr) {
    next.base = registers_.constant(place->address, 8);
    cursor.next();
  } else {
    next.base = slot_of(body, operand(body), Role::any, {});
  }
  if (cursor.take("+")) {
    const bool negative = cursor.take("-");
    std::uint64_t bits = 0;
    if (!number_of(cursor.next().text, negative, 8, bits)) cursor.fail("expected a number");
    next.displacement = static_cast<std::int64_t>(bits);
  }
  cursor.expect("]");
  return place;
}

Reader::Operands Reader::operands(Body& body, Instruction& in) {
  Cursor& cursor = body.cursor;
  Operands result;
  if (cursor.is(";")) return result;
  do {
    if (cursor.take("[")) {
      result.place = address(body, in);
    } else if (cursor.take("{")) {
      const std::size_t before = result.all.size();
      do {
        result.all.push_back(operand(body));
      } while (cursor.take(","));
      cursor.expect("}");
      result.braces = (before == 0 ? ".first" : ".second") + std::to_string(result.all.size() - before);
    } else {
      result.all.push_back(operand(body));
    }
  } while (cursor.take(",") || cursor.take("|"));
  return result;
}

Slot Reader::slot_of(Body& body, const Operand& operand, Role role, const Form& form) {
  std::size_t width = role == Role::any ? 8 : static_cast<std::size_t>(role);
  if (role == Role::any && form.memory.bytes > 0) width = form.memory.bytes < 2 ? 2 : form.memory.bytes;
  switch (operand.kind) {
    case Operand::Kind::slot: {
      const bool fits = role == Role::any ? operand.slot.width != 0 : operand.slot.width == width;
      if (!fits) body.cursor.fail("a register of the wrong width");
      return operand.slot;
    }
    case Operand::Kind::place:
      return registers_.constant(operand.address, width);
    case Operand::Kind::nothing:
      return registers_.make(width);
    case Operand::Kind::number:
      break;
  }
  std::uint64_t bits = 0;
  if (!number_of(operand.number, operand.negative, width == 0 ? 8 : width, bits)) body.cursor.fail("a number of the wrong kind");
  return registers_.constant(bits, width);
}

void Reader::bind(Body& body, const Form& form, const std::vector<Operand>& operands, Instruction& in) {
  const std::size_t wanted = form.to.size() + form.from.size();
  const bool short_of_one = (form.optional_to || form.optional_from) && operands.size() + 1 == wanted;
  if (operands.size() != wanted && !short_of_one) body.cursor.fail("another number of operands");
  if (form.addresses != (in.address.base.width != 0 ? 1 : 0) + (in.source.base.width != 0 ? 1 : 0))
    body.cursor.fail("an address where there is none, or none where there is one");
  std::size_t at = 0;
  for (std::size_t i = 0; i < form.to.size(); ++i) {
    const bool absent = form.optional_to && short_of_one && i + 1 == form.to.size();
    const Operand& operand = absent ? Operand{} : operands[at++];
    if (operand.kind != Operand::Kind::slot && operand.kind != Operand::Kind::nothing)
      body.cursor.fail("a result that is not a register");
    in.to.push(slot_of(body, operand, form.to[i], form));
  }
  for (const Role role : form.from) {
    if (at < operands.size()) in.from.push(slot_of(body, operands[at++], role, form));
  }
}

}  // namespace ptx
