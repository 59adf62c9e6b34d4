// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_cuda/grid.hpp"

#include <mutex>
#include <numeric>
#include <set>
#include <tuple>

#include "kernels/device.hpp"
#include "kernels/groups.hpp"
#include "tests/kernels/kernel_support.hpp"

namespace lamella::test {
namespace {

using host_grid::GridConfig;
using host_grid::run_grid;
using kernels::kWarp;
using testing::HasSubstr;

constexpr GridConfig kBlockOf64{.threads = 64, .barriers = true};

std::string divergence(const GridConfig& config, const std::function<void()>& thread) {
  try {
    run_grid(config, thread);
  } catch (const host_grid::Divergence& error) {
    return error.what();
  }
  return "none";
}

TEST(GridTest, RunsEveryThreadOfEveryBlockOnce) {
  for (const bool barriers : {false, true}) {
    std::multiset<std::tuple<unsigned, unsigned, unsigned, unsigned>> seen;
    std::mutex mutex;
    run_grid({.grid = {3, 2, 2}, .threads = 32, .barriers = barriers}, [&] {
      const std::lock_guard lock(mutex);
      const host_grid::Position& here = host_grid::here;
      seen.emplace(here.block.x, here.block.y, here.block.z, here.thread);
    });
    EXPECT_EQ(seen.size(), 3U * 2 * 2 * 32);
    EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), seen.size());
  }
}

TEST(GridTest, ABarrierWaitsForTheWholeBlock) {
  std::array<int, 64> step{};
  std::array<bool, 64> right{};
  run_grid(kBlockOf64, [&] {
    const unsigned me = kernels::thread_index();
    right[me] = true;
    for (int round = 1; round <= 5; ++round) {
      step[me] = round;
      kernels::barrier();
      right[me] = right[me] && std::all_of(step.begin(), step.end(), [&](int s) { return s == round; });
      kernels::barrier();
    }
  });
  EXPECT_THAT(right, testing::Each(true));
}

TEST(GridTest, ShufflesWithinAWarp) {
  std::array<double, 64> partner{};
  run_grid(kBlockOf64, [&] {
    const unsigned me = kernels::thread_index();
    partner[me] = kernels::shuffle_xor(static_cast<double>(me), 5U);
  });
  for (unsigned t = 0; t < 64; ++t) EXPECT_EQ(partner[t], t ^ 5U);
}

TEST(GridTest, VotesWithinAWarp) {
  std::array<bool, 64> any{};
  run_grid(kBlockOf64, [&] { any[kernels::thread_index()] = kernels::warp_any(kernels::thread_index() == 40); });
  for (unsigned t = 0; t < 64; ++t) EXPECT_EQ(any[t], t >= 32);
}

TEST(GridTest, WarpsOfABlockGoTheirOwnWays) {
  std::array<unsigned, 64> rounds{};
  run_grid(kBlockOf64, [&] {
    const unsigned me = kernels::thread_index();
    for (unsigned round = 0; round < 1 + 3 * (me / kWarp); ++round) rounds[me] += kernels::shuffle_xor(1U, 1U);
    kernels::barrier();
  });
  EXPECT_EQ(rounds[0], 1U);
  EXPECT_EQ(rounds[63], 4U);
}

TEST(GridTest, BlocksReduceToTheSameBitsInEveryThread) {
  using Group = kernels::BlockGroup<512>;
  std::vector<double> sums(512);
  std::vector<float> largest(512);
  run_grid({.threads = 512, .shared_bytes = sizeof(Group::Shared), .barriers = true}, [&] {
    const unsigned me = kernels::thread_index();
    sums[me] = Group::reduce<kernels::Sum>(static_cast<double>(me + 1), 0.0);
    largest[me] =
        Group::reduce<kernels::Largest>(-1.F - static_cast<float>((me * 7) % 512), -std::numeric_limits<float>::infinity());
  });
  EXPECT_THAT(sums, testing::Each(512.0 * 513 / 2));
  EXPECT_THAT(largest, testing::Each(-1.F));
}

TEST(GridTest, SharedMemoryIsTheBlocksOwnAndStartsPoisoned) {
  std::array<bool, 6> poisoned{};
  std::array<int, 6> sum{};
  run_grid({.grid = {6, 1, 1}, .threads = 32, .shared_bytes = 32 * sizeof(float), .barriers = true}, [&] {
    auto& values = kernels::shared_memory<std::array<float, 32>>();
    const unsigned me = kernels::thread_index();
    const auto block = static_cast<std::size_t>(kernels::block_x());
    if (me == 0) poisoned[block] = std::all_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
    kernels::barrier();
    values[me] = static_cast<float>(me);
    kernels::barrier();
    if (me == 0) sum[block] = static_cast<int>(std::accumulate(values.begin(), values.end(), 0.F));
  });
  EXPECT_THAT(poisoned, testing::Each(true));
  EXPECT_THAT(sum, testing::Each(496));
}

TEST(GridTest, ReportsABarrierThatOnlyAPartOfTheBlockReaches) {
  EXPECT_THAT(divergence(kBlockOf64,
                         [] {
                           if (kernels::thread_index() < 60) kernels::barrier();
                         }),
              testing::AllOf(HasSubstr("thread 0 waits at the block's barrier"), HasSubstr("thread 60 has ended")));
}

TEST(GridTest, ReportsAShuffleThatOnlyAPartOfTheWarpReaches) {
  EXPECT_THAT(divergence(kBlockOf64,
                         [] {
                           if (kernels::thread_index() != 7) static_cast<void>(kernels::shuffle_xor(1, 1));
                         }),
              HasSubstr("thread 7 has ended"));
}

TEST(GridTest, ReportsLanesThatMeetInDifferentPlaces) {
  const auto thread = [] {
    if (kernels::thread_index() % 2 == 0) {
      static_cast<void>(kernels::shuffle_xor(1, 1));
    } else {
      static_cast<void>(kernels::warp_any(true));
    }
  };
  EXPECT_THAT(divergence(kBlockOf64, thread), testing::AllOf(HasSubstr("waits at shuffle_xor"), HasSubstr("waits at warp_any")));
}

TEST(GridTest, RunsAgainAfterAReport) {
  EXPECT_NE(divergence(kBlockOf64,
                       [] {
                         if (kernels::thread_index() < 60) kernels::barrier();
                       }),
            "none");
  EXPECT_EQ(divergence(kBlockOf64, [] { kernels::barrier(); }), "none");
}

TEST(GridTest, RefusesABarrierInAKernelLaunchedWithout) {
  EXPECT_THROW(run_grid({.threads = 64}, [] { kernels::barrier(); }), std::logic_error);
}

TEST(GridTest, RefusesMoreSharedMemoryThanLaunchedWith) {
  EXPECT_THROW(run_grid({.threads = 32, .shared_bytes = 8}, [] { kernels::shared_memory<std::array<double, 2>>()[0] = 1; }),
               std::logic_error);
}

TEST(GridTest, LetsOutWhatAThreadThrows) {
  EXPECT_THROW(run_grid(kBlockOf64,
                        [] {
                          if (kernels::thread_index() == 33) throw std::out_of_range("x");
                        }),
               std::out_of_range);
}

TEST(GridTest, KnowsTheLimitsOfADevice) {
  EXPECT_TRUE(
      host_grid::legal({.grid = {0x7FFF'FFFF, 65535, 65535}, .threads = 1024, .shared_bytes = 48 * 1024, .barriers = true}));
  EXPECT_FALSE(host_grid::legal({.grid = {0x8000'0000, 1, 1}}));
  EXPECT_FALSE(host_grid::legal({.grid = {1, 65536, 1}}));
  EXPECT_FALSE(host_grid::legal({.grid = {1, 1, 65536}}));
  EXPECT_FALSE(host_grid::legal({.grid = {0, 1, 1}}));
  EXPECT_FALSE(host_grid::legal({.threads = 1025}));
  EXPECT_FALSE(host_grid::legal({.threads = 0}));
  EXPECT_FALSE(host_grid::legal({.threads = 33, .barriers = true}));
  EXPECT_FALSE(host_grid::legal({.shared_bytes = 48 * 1024 + 1}));
}

LAMELLA_KERNEL(32) nothing_kernel() {}

TEST(GridTest, ALaunchOutsideTheLimitsIsAnError) {
  EXPECT_EQ(kernels::launch({.threads = 2048}, nothing_kernel), cudaErrorInvalidConfiguration);
  EXPECT_EQ(kernels::launch({.threads = 32}, nothing_kernel), cudaSuccess);
}

}  // namespace
}  // namespace lamella::test
