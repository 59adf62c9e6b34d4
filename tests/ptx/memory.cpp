// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "tests/ptx/lanewise.hpp"

/// Loads and stores.
namespace ptx {
namespace {

template <typename T>
T read(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

template <typename T>
void load(Warp& warp, const Instruction& in, u32 lanes) {
  Warp::Places places;
  const u32 good = warp.reach(in, lanes, sizeof(T) * in.memory.elements, false, places);
  std::size_t offset = 0;
  for (const Slot& to : in.to) {
    if (to.width == sizeof(T)) {
      T* const all = warp.lanes<T>(to);
      each_lane(good, [&](unsigned lane) { all[lane] = read<T>(places[lane] + offset); });
    } else {
      each_lane(good, [&](unsigned lane) { warp.set_bits(to, lane, static_cast<u64>(read<T>(places[lane] + offset))); });
    }
    each_lane(lanes & ~good, [&](unsigned lane) { warp.set_bits(to, lane, 0xCCCC'CCCC'CCCC'CCCCU >> (64 - 8 * sizeof(T))); });
    offset += sizeof(T);
  }
}

template <typename T>
void store(Warp& warp, const Instruction& in, u32 lanes) {
  Warp::Places places;
  const u32 good = warp.reach(in, lanes, sizeof(T) * in.memory.elements, true, places);
  std::size_t offset = 0;
  for (const Slot& from : in.from) {
    each_lane(good, [&](unsigned lane) {
      const T value = from.width == sizeof(T) ? warp.lanes<T>(from)[lane] : static_cast<T>(warp.bits(from, lane));
      std::memcpy(places[lane] + offset, &value, sizeof(T));
    });
    offset += sizeof(T);
  }
}

template <typename T>
void type(Table& table, const std::string& name, Space space, const std::string& space_name, const std::string& vector,
          u8 elements) {
  const std::vector<Role> values(elements, Role::any);
  const MemoryAccess access{space, sizeof(T), elements};
  for (const char* how : {"", ".nc", ".cg"}) {
    if (*how != '\0' && space != Space::global) continue;
    table["ld" + space_name + how + vector + "." + name] = {.run = &load<T>, .to = values, .addresses = 1, .memory = access};
  }
  table["st" + space_name + vector + "." + name] = {.run = &store<T>, .from = values, .addresses = 1, .memory = access};
}

void forms(Table& table, const std::string& space_name, Space space, const std::string& vector, u8 elements) {
  for (const char* name : {"b8", "u8"}) type<u8>(table, name, space, space_name, vector, elements);
  for (const char* name : {"b16", "u16"}) type<u16>(table, name, space, space_name, vector, elements);
  for (const char* name : {"b32", "u32", "f32"}) type<u32>(table, name, space, space_name, vector, elements);
  for (const char* name : {"b64", "u64", "s64", "f64"}) type<u64>(table, name, space, space_name, vector, elements);
  type<s8>(table, "s8", space, space_name, vector, elements);
  type<s16>(table, "s16", space, space_name, vector, elements);
  type<s32>(table, "s32", space, space_name, vector, elements);
}

}  // namespace

void memory_forms(Table& table) {
  for (const auto& [name, space] : {std::pair<const char*, Space>{"", Space::generic},
                                    {".global", Space::global},
                                    {".const", Space::global},
                                    {".shared", Space::shared},
                                    {".shared::cta", Space::shared},
                                    {".shared::cluster", Space::cluster},
                                    {".local", Space::local},
                                    {".param", Space::parameter}}) {
    forms(table, name, space, "", 1);
    forms(table, name, space, ".v2", 2);
    forms(table, name, space, ".v4", 4);
  }
}

}  // namespace ptx
