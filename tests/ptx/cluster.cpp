// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>

#include "tests/ptx/lanewise.hpp"

/// Clusters: barriers in two halves, and the shared memory of other blocks. A block may be used by others once a barrier shows
/// that all have begun, and must not end before one that these arrive at afterwards.
namespace ptx {

void Warp::arrive(const Instruction& in, u32 lanes) {
  each_lane(lanes, [&](unsigned lane) {
    if (arrived_[lane] != passed_[lane]) report(Fault::cluster, in, lane, "arrives again before it has waited");
    ++arrived_[lane];
  });
}

/// Lets the lanes pass for which all threads of the cluster have arrived, and returns them.
u32 Warp::pass_cluster(const Instruction& in, u32 lanes) {
  u32 least = 0xFFFF'FFFF;
  if (block.cluster == nullptr) {
    least = block.least_arrived();
  } else {
    for (const Block& one : *block.cluster) least = std::min(least, one.least_arrived());
  }
  u32 passed = 0;
  each_lane(lanes, [&](unsigned lane) {
    if (arrived_[lane] == passed_[lane]) {
      report(Fault::cluster, in, lane, "waits without having arrived");
      throw Stopped();
    }
    if (least <= passed_[lane]) return;
    ++passed_[lane];
    passed |= 1U << lane;
  });
  return passed;
}

u32 Warp::least_arrived() const {
  u32 least = 0xFFFF'FFFF;
  each_lane(live_, [&](unsigned lane) { least = std::min(least, arrived_[lane]); });
  return least;
}

u64 Warp::progress() const {
  u64 sum = static_cast<u64>(std::popcount(ended()));
  each_lane(started_, [&](unsigned lane) { sum += arrived_[lane] + passed_[lane]; });
  return sum;
}

unsigned char* Warp::reach_cluster(const Instruction& in, unsigned lane, u32 address, std::size_t bytes, bool write) {
  const u32 rank = address >> kRankShift;
  const u32 offset = address & ((1U << kRankShift) - 1);
  if (rank == 0 || rank - 1 == block.rank()) return reach_shared(in, lane, offset, bytes, write);
  if (block.cluster == nullptr || rank > block.cluster->size()) {
    report(Fault::bounds, in, lane, "block " + std::to_string(rank - 1) + " of the cluster does not exist");
    return nullptr;
  }
  Block& other = (*block.cluster)[rank - 1];
  if (passed_[lane] == 0)
    report(Fault::cluster, in, lane,
           "uses the memory of another block, which may not have begun: no barrier of the cluster before");
  if (other.has_ended) {
    report(Fault::cluster, in, lane, "uses the memory of a block that has ended");
    return nullptr;
  }
  other.remote = std::max(other.remote, arrived_[lane] + 1);
  return reach_shared(in, lane, offset, bytes, write, &other);
}

namespace {

void arrive(Warp& warp, const Instruction& in, u32 lanes) { warp.arrive(in, lanes); }

/// The same offset in the memory of another block.
void map_address(Warp& warp, const Instruction& in, u32 lanes) {
  each_lane(lanes, [&](unsigned lane) {
    const u64 offset = warp.bits(in.from[0], lane) & ((1U << kRankShift) - 1);
    warp.set_bits(in.to[0], lane, (warp.bits(in.from[1], lane) + 1) << kRankShift | offset);
  });
}

}  // namespace

void cluster_forms(Table& table) {
  for (const char* order : {"", ".release"}) {
    for (const char* aligned : {"", ".aligned"})
      table[std::string("barrier.cluster.arrive") + order + aligned] = {.run = &arrive};
  }
  for (const char* order : {"", ".acquire"}) {
    for (const char* aligned : {"", ".aligned"})
      table[std::string("barrier.cluster.wait") + order + aligned] = {.flow = Flow::cluster};
  }
  table["mapa.shared::cluster.u32"] = {.run = &map_address, .to = {Role::b32}, .from = {Role::b32, Role::b32}};
}

}  // namespace ptx
