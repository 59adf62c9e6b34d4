// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <string>

#include "tests/ptx/ptx_support.hpp"

/// Blocks of a cluster, and faults planted into what they do.
namespace ptx::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Each block gives its numbers to the next one of its cluster.
constexpr std::string_view kRing = R"(
barrier.cluster.arrive;
mov.u32 %r1, %tid.x;
mov.u32 %r2, %ctaid.x;
mov.u32 %r3, %cluster_ctarank;
mov.u32 %r4, %cluster_nctarank;
add.s32 %r5, %r3, 1;
rem.u32 %r5, %r5, %r4;
mov.u32 %r6, memory;
shl.b32 %r7, %r1, 2;
add.s32 %r6, %r6, %r7;
mapa.shared::cluster.u32 %r8, %r6, %r5;
mad.lo.s32 %r9, %r2, 100, %r1;
barrier.cluster.wait;
st.shared::cluster.u32 [%r8], %r9;
barrier.cluster.arrive.release;
barrier.cluster.wait.acquire;
ld.shared.u32 %r10, [%r6];
shl.b32 %r11, %r2, 6;
add.s32 %r11, %r11, %r1;
mul.wide.u32 %rd1, %r11, 4;
add.s64 %rd2, %rd30, %rd1;
st.global.u32 [%rd2], %r10;
END:)";

struct Outcome {
  std::vector<Finding> findings;
  std::array<std::uint32_t, 6 * 64> numbers{};
};

Outcome run(const std::string& right, const std::string& wrong, unsigned cluster = 3) {
  std::string body(kRing);
  const std::size_t at = body.find(right);
  EXPECT_NE(at, std::string::npos) << right;
  body.replace(at, right.size(), wrong);
  const Module module = Module::parse(kernel_of(body, 1, ".shared .align 8 .b8 memory[256];"));
  Outcome outcome;
  MemoryMap memory;
  memory.add(outcome.numbers.data(), sizeof(outcome.numbers), "numbers", MemoryMap::Access::write,
             MemoryMap::Contents::undefined);
  const std::vector<unsigned char> parameters = parameters_of({outcome.numbers.data()});
  outcome.findings = launch(
      module, "k", {.grid = {6, 1, 1}, .block = {64, 1, 1}, .cluster = cluster, .parameters = parameters, .instructions = 100000},
      memory);
  return outcome;
}
std::vector<Finding> plant(const std::string& right, const std::string& wrong) { return run(right, wrong).findings; }

TEST(PtxClusterTest, BlocksReadWhatTheOthersWrote) {
  for (const unsigned cluster : {1U, 2U, 3U, 6U}) {
    const Outcome outcome = run("", "", cluster);
    EXPECT_THAT(outcome.findings, IsEmpty());
    for (unsigned block = 0; block < 6; ++block) {
      const unsigned from = block / cluster * cluster + (block % cluster + cluster - 1) % cluster;
      for (unsigned thread = 0; thread < 64; ++thread) ASSERT_EQ(outcome.numbers[block * 64 + thread], from * 100 + thread);
    }
  }
}

TEST(PtxClusterTest, AMissingBarrierIsARace) {
  EXPECT_THAT(plant("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;", ""),
              Contains(FaultIs(Fault::undefined_memory)));
  EXPECT_THAT(plant("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;", "bar.sync 0;"), testing::Not(IsEmpty()));
  EXPECT_THAT(plant("ld.shared.u32 %r10, [%r6];", "st.shared::cluster.u32 [%r8], %r9; ld.shared.u32 %r10, [%r6];"),
              Contains(FaultIs(Fault::race)));
}

/// What is written after arriving is not ordered by that barrier.
TEST(PtxClusterTest, AWriteBetweenTheHalvesOfABarrierIsARace) {
  EXPECT_THAT(plant("st.shared::cluster.u32 [%r8], %r9;\nbarrier.cluster.arrive.release;",
                    "barrier.cluster.arrive.release;\nst.shared::cluster.u32 [%r8], %r9;"),
              Contains(FaultIs(Fault::race)));
}

TEST(PtxClusterTest, AReadByOthersKeepsTheOwnerFromWriting) {
  const std::string read = "ld.shared::cluster.u32 %r12, [%r8];\n";
  EXPECT_THAT(plant("ld.shared.u32 %r10, [%r6];", "ld.shared.u32 %r10, [%r6];\n" + read +
                                                      "barrier.cluster.arrive; barrier.cluster.wait; st.shared.u32 [%r6], %r9;"),
              IsEmpty());
  EXPECT_THAT(plant("ld.shared.u32 %r10, [%r6];", "ld.shared.u32 %r10, [%r6];\n" + read +
                                                      "bar.sync 0; st.shared.u32 [%r6], %r9;\n"
                                                      "barrier.cluster.arrive; barrier.cluster.wait;"),
              Contains(FaultIs(Fault::race)));
}

TEST(PtxClusterTest, ABlockThatMayNotHaveBegunIsNotUsed) {
  EXPECT_THAT(plant("barrier.cluster.wait;\nst.shared::cluster.u32 [%r8], %r9;",
                    "st.shared::cluster.u32 [%r8], %r9;\nbarrier.cluster.wait;"),
              Contains(FaultIs(Fault::cluster)));
}

TEST(PtxClusterTest, ABlockThatMayHaveEndedIsNotUsed) {
  EXPECT_THAT(plant("ld.shared.u32 %r10, [%r6];", "ld.shared::cluster.u32 %r10, [%r8];"), Contains(FaultIs(Fault::cluster)));
}

TEST(PtxClusterTest, HalvesOfBarriersBelongTogether) {
  EXPECT_THAT(plant("barrier.cluster.arrive.release;", ""), ElementsAre(FaultIs(Fault::cluster)));
  EXPECT_THAT(plant("barrier.cluster.arrive.release;", "barrier.cluster.arrive; barrier.cluster.arrive;"),
              Contains(FaultIs(Fault::cluster)));
  const auto some =
      plant("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;",
            "setp.eq.u32 %p1, %r3, 1;\n@%p1 bra SKIP;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;\nbar.sync 0;\n"
            "SKIP:\n@%p1 bar.sync 0;\n@%p1 barrier.cluster.arrive;\n@%p1 barrier.cluster.wait;");
  EXPECT_THAT(some, IsEmpty());  // all come, if on different ways
}

TEST(PtxClusterTest, RanksAreThoseOfTheCluster) {
  EXPECT_THAT(plant("rem.u32 %r5, %r5, %r4;", ""), Contains(FaultIs(Fault::bounds)));
  const Module module = Module::parse(kernel_of("ret;", 0));
  MemoryMap memory;
  EXPECT_THROW(static_cast<void>(launch(module, "k", {.grid = {6, 1, 1}, .cluster = 4}, memory)), std::invalid_argument);
}

}  // namespace
}  // namespace ptx::test
