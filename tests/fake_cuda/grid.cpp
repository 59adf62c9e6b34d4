// SPDX-License-Identifier: Apache-2.0
#include "grid.hpp"

#include <cstring>
#include <memory>
#include <new>

#include "team.hpp"

namespace lamella::host_grid {
namespace {

constexpr std::size_t kSharedAlignment = 128;

struct SharedMemory {
  explicit SharedMemory(std::size_t bytes) : bytes_(bytes), data_(bytes == 0 ? nullptr : ::operator new(bytes, kAlignment)) {}
  ~SharedMemory() { ::operator delete(data_, kAlignment); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  void poison() const {
    if (data_ != nullptr) std::memset(data_, 0xFF, bytes_);
  }
  [[nodiscard]] void* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{kSharedAlignment};
  std::size_t bytes_;
  void* data_;
};

thread_local Team* team_of_this_thread = nullptr;

Team& team() {
  if (team_of_this_thread == nullptr)
    throw std::logic_error("a barrier or exchange in a kernel that was launched as having none");
  return *team_of_this_thread;
}

/// Puts things back when a grid ends or throws.
class Restore {
 public:
  Restore() = default;
  ~Restore() {
    here = here_;
    team_of_this_thread = team_;
  }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  Position here_ = here;
  Team* team_ = team_of_this_thread;
};

}  // namespace

bool legal(const GridConfig& config) {
  const Index3& g = config.grid;
  return g.x > 0 && g.x < (1U << 31U) && g.y > 0 && g.y < (1U << 16U) && g.z > 0 && g.z < (1U << 16U) && config.threads > 0 &&
         config.threads <= 1024 && config.shared_bytes <= 48 * 1024 &&
         (!config.barriers || config.threads % Rendezvous::kWarp == 0);
}

void run_grid(const GridConfig& config, const std::function<void()>& thread) {
  if (!legal(config)) throw std::logic_error("a grid that no device takes");
  const SharedMemory shared(config.shared_bytes);
  const std::unique_ptr<Team> team = config.barriers ? make_team(config.threads) : nullptr;
  const Restore restore;
  here = {{0, 0, 0}, config.grid, 0, config.threads, shared.data(), config.shared_bytes};
  team_of_this_thread = team.get();
  for (here.block.z = 0; here.block.z < config.grid.z; ++here.block.z) {
    for (here.block.y = 0; here.block.y < config.grid.y; ++here.block.y) {
      for (here.block.x = 0; here.block.x < config.grid.x; ++here.block.x) {
        shared.poison();
        if (team != nullptr) {
          team->run_block(thread);
        } else {
          for (here.thread = 0; here.thread < config.threads; ++here.thread) thread();
        }
      }
    }
  }
}

void barrier() { static_cast<void>(team().wait(Rendezvous::State::at_block, "the block's barrier", 0, true)); }

void warp_barrier() { static_cast<void>(team().wait(Rendezvous::State::at_warp, "the warp's barrier", 0, true)); }

const std::array<std::uint64_t, 32>& gather(const char* operation, std::uint64_t value) {
  return team().wait(Rendezvous::State::at_warp, operation, value, false);
}

}  // namespace lamella::host_grid
