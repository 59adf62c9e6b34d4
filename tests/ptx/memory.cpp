// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "tests/ptx/lanewise.hpp"

/// Loads and stores.
namespace ptx {
namespace {

void load(Warp& warp, const Instruction& in, u32 lanes) {
  const std::size_t bytes = in.memory.bytes;
  each_lane(lanes, [&](unsigned lane) {
    const unsigned char* at = warp.reach(in, lane, bytes * in.memory.elements, false);
    for (const Slot& to : in.to) {
      u64 value = 0xCCCC'CCCC'CCCC'CCCCU >> (64 - 8 * bytes);
      if (at != nullptr) {
        value = 0;
        std::memcpy(&value, at, bytes);
        at += bytes;
      }
      if (in.memory.is_signed && bytes < 8 && (value >> (8 * bytes - 1) & 1) != 0) value |= ~u64{0} << (8 * bytes);
      warp.set_bits(to, lane, value);
    }
  });
}

void store(Warp& warp, const Instruction& in, u32 lanes) {
  const std::size_t bytes = in.memory.bytes;
  each_lane(lanes, [&](unsigned lane) {
    unsigned char* at = warp.reach(in, lane, bytes * in.memory.elements, true);
    if (at == nullptr) return;
    for (const Slot& from : in.from) {
      const u64 value = warp.bits(from, lane);
      std::memcpy(at, &value, bytes);
      at += bytes;
    }
  });
}

struct Type {
  const char* name;
  u8 bytes;
  bool is_signed;
};

void forms(Table& table, const std::string& space_name, Space space, const std::string& vector, u8 elements) {
  for (const Type& type : {Type{"b8", 1, false},
                           {"u8", 1, false},
                           {"s8", 1, true},
                           {"b16", 2, false},
                           {"u16", 2, false},
                           {"s16", 2, true},
                           {"b32", 4, false},
                           {"u32", 4, false},
                           {"s32", 4, true},
                           {"f32", 4, false},
                           {"b64", 8, false},
                           {"u64", 8, false},
                           {"s64", 8, true},
                           {"f64", 8, false}}) {
    const std::string suffix = space_name + vector + "." + type.name;
    const MemoryAccess access{space, type.bytes, type.is_signed, elements};
    const std::vector<Role> values(elements, Role::any);
    for (const char* how : {"", ".nc"}) {
      if (*how != '\0' && space != Space::global) continue;
      table["ld" + space_name + how + vector + "." + type.name] = {
          .run = &load, .to = values, .addresses = true, .memory = access};
    }
    table["st" + suffix] = {.run = &store, .from = values, .addresses = true, .memory = access};
  }
}

}  // namespace

void memory_forms(Table& table) {
  for (const auto& [name, space] : {std::pair<const char*, Space>{"", Space::generic},
                                    {".global", Space::global},
                                    {".const", Space::global},
                                    {".shared", Space::shared},
                                    {".local", Space::local},
                                    {".param", Space::parameter}}) {
    forms(table, name, space, "", 1);
    forms(table, name, space, ".v2", 2);
    forms(table, name, space, ".v4", 4);
  }
}

}  // namespace ptx
