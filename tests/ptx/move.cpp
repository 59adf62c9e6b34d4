// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/lanewise.hpp"

/// mov, also of vectors, and conversions of addresses.
namespace ptx {
namespace {

struct Same {
  template <typename T>
  static T of(T x) {
    return x;
  }
};
template <std::int64_t kBy>
struct Shifted {
  static u64 of(u64 address) { return address + static_cast<u64>(kBy); }
  static u32 of(u32 address) { return address; }
};

template <typename T>
void move(Table& table, std::initializer_list<const char*> types) {
  for (const char* type : types) table[std::string("mov.") + type] = lanewise<Same, T(T)>();
}

/// The parts are placed from the lowest bits on.
void pack(Warp& warp, const Instruction& in, u32 lanes) {
  each_lane(lanes, [&](unsigned lane) {
    u64 whole = 0;
    for (std::size_t i = in.from.size(); i-- > 0;) whole = whole << (8 * in.from[i].width) | warp.bits(in.from[i], lane);
    warp.set_bits(in.to[0], lane, whole);
  });
}
void unpack(Warp& warp, const Instruction& in, u32 lanes) {
  each_lane(lanes, [&](unsigned lane) {
    u64 whole = warp.bits(in.from[0], lane);
    for (const Slot& part : in.to) {
      warp.set_bits(part, lane, whole);
      whole >>= 8 * part.width;
    }
  });
}

template <std::int64_t kWindow_>
void window(Table& table, const std::string& space) {
  table["cvta." + space + ".u64"] = lanewise<Shifted<kWindow_>, u64(u64)>();
  table["cvta.to." + space + ".u64"] = lanewise<Shifted<-kWindow_>, u64(u64)>();
}

}  // namespace

void move_forms(Table& table) {
  table["mov.pred"] = lanewise<Same, bool(bool)>();
  move<u16>(table, {"b16", "u16", "s16", "f16", "bf16"});
  move<u32>(table, {"b32", "u32", "s32", "f32"});
  move<u64>(table, {"b64", "u64", "s64", "f64"});
  table["mov.b32.second2"] = {.run = &pack, .to = {Role::b32}, .from = {Role::b16, Role::b16}};
  table["mov.b64.second2"] = {.run = &pack, .to = {Role::b64}, .from = {Role::b32, Role::b32}};
  table["mov.b64.second4"] = {.run = &pack, .to = {Role::b64}, .from = {Role::b16, Role::b16, Role::b16, Role::b16}};
  table["mov.b32.first2"] = {.run = &unpack, .to = {Role::b16, Role::b16}, .from = {Role::b32}};
  table["mov.b64.first2"] = {.run = &unpack, .to = {Role::b32, Role::b32}, .from = {Role::b64}};
  table["mov.b64.first4"] = {.run = &unpack, .to = {Role::b16, Role::b16, Role::b16, Role::b16}, .from = {Role::b64}};
  window<static_cast<std::int64_t>(kSharedWindow)>(table, "shared");
  window<static_cast<std::int64_t>(kLocalWindow)>(table, "local");
  window<0>(table, "global");
  window<0>(table, "const");
}

}  // namespace ptx
