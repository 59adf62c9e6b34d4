// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/scopes.hpp"

#include <cstring>

namespace ptx {

Slot Registers::make(std::size_t width) {
  const Slot slot{static_cast<std::uint32_t>(program_.image.size()), static_cast<std::uint32_t>(program_.written.size()),
                  static_cast<std::uint8_t>(width)};
  program_.image.resize(program_.image.size() + (width == 0 ? kLanes : kLanes * width));
  program_.written.push_back(0);
  return slot;
}

Slot Registers::constant(std::uint64_t bits, std::size_t width) {
  const auto [at, added] = constants_.try_emplace({bits, width});
  if (!added) return at->second;
  at->second = make(width);
  program_.written[at->second.index] = kAllLanes;
  unsigned char* const lanes = program_.image.data() + at->second.offset;
  if (width == 0) {
    const std::uint32_t mask = bits != 0 ? kAllLanes : 0;
    std::memcpy(lanes, &mask, sizeof(mask));
  }
  for (unsigned lane = 0; width > 0 && lane < kLanes; ++lane) std::memcpy(lanes + lane * width, &bits, width);
  return at->second;
}

Slot Registers::special(Special which) {
  const auto [at, added] = specials_.try_emplace(which);
  if (added) {
    at->second = make(4);
    program_.written[at->second.index] = kAllLanes;
    program_.specials.emplace_back(which, at->second);
  }
  return at->second;
}

void Scopes::registers(Cursor& cursor) {
  std::size_t width = 0;
  if (!width_of(cursor.next().text, width) || width == 1) cursor.fail("registers of a type that is not known");
  do {
    const std::string name(cursor.next().text);
    if (cursor.take("<")) {
      std::uint64_t count = 0;
      if (!number_of(cursor.next().text, false, 8, count)) cursor.fail("expected a number of registers");
      cursor.expect(">");
      scopes_.back().numbered[name] = {width, count};
    } else {
      scopes_.back().registers[name] = registers_.make(width);
    }
  } while (cursor.take(","));
  cursor.expect(";");
}

const Slot* Scopes::register_of(std::string_view name) {
  std::size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
  std::uint64_t number = 0;
  const bool numbered = number_of(name.substr(digits), false, 8, number);
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->registers.find(name);
    if (found != scope->registers.end()) return &found->second;
    if (!numbered) continue;
    const auto family = scope->numbered.find(name.substr(0, digits));
    if (family != scope->numbered.end() && number < family->second.count)
      return &(scope->registers[std::string(name)] = registers_.make(family->second.width));
  }
  return nullptr;
}

const Place* Scopes::place_of(std::string_view name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->places.find(name);
    if (found != scope->places.end()) return &found->second;
  }
  return nullptr;
}

}  // namespace ptx
