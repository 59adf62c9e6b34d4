// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <numeric>

#include "tests/ptx/ptx_support.hpp"

/// Each check finds its fault, planted into the text of a correct kernel.
namespace ptx::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Each block sums its 64 numbers: by shuffles within warps, and through shared memory between them.
constexpr std::string_view kSum = R"(
mov.u32 %r1, %tid.x;
mov.u32 %r2, %ctaid.x;
shl.b32 %r3, %r2, 6;
add.s32 %r3, %r3, %r1;
mul.wide.u32 %rd1, %r3, 4;
add.s64 %rd2, %rd30, %rd1;
ld.global.u32 %r4, [%rd2];
shfl.sync.bfly.b32 %r5, %r4, 16, 31, -1;
add.s32 %r4, %r4, %r5;
shfl.sync.bfly.b32 %r5, %r4, 8, 31, -1;
add.s32 %r4, %r4, %r5;
shfl.sync.bfly.b32 %r5, %r4, 4, 31, -1;
add.s32 %r4, %r4, %r5;
shfl.sync.bfly.b32 %r5, %r4, 2, 31, -1;
add.s32 %r4, %r4, %r5;
shfl.sync.bfly.b32 %r5, %r4, 1, 31, -1;
add.s32 %r4, %r4, %r5;
and.b32 %r6, %r1, 31;
shr.u32 %r7, %r1, 5;
shl.b32 %r7, %r7, 2;
mov.u32 %r8, sums;
add.s32 %r7, %r8, %r7;
setp.eq.s32 %p1, %r6, 0;
@%p1 st.shared.u32 [%r7], %r4;
bar.sync 0;
setp.ne.s32 %p2, %r1, 0;
@%p2 bra DONE;
ld.shared.v2.u32 {%r9, %r10}, [sums];
add.s32 %r11, %r9, %r10;
mul.wide.u32 %rd3, %r2, 4;
add.s64 %rd4, %rd31, %rd3;
st.global.u32 [%rd4], %r11;
DONE:)";

struct Outcome {
  std::vector<Finding> findings;
  std::vector<std::uint32_t> sums;
};

Outcome run(std::string body, MemoryMap::Access results = MemoryMap::Access::write) {
  const Module module = Module::parse(kernel_of(body, 2, ".shared .align 8 .b8 sums[8];"));
  std::vector<std::uint32_t> numbers(192);
  std::iota(numbers.begin(), numbers.end(), 0);
  Outcome outcome{{}, std::vector<std::uint32_t>(3)};
  MemoryMap memory;
  memory.add(numbers.data(), numbers.size() * 4, "numbers", MemoryMap::Access::read);
  memory.add(outcome.sums.data(), 12, "sums", results, MemoryMap::Contents::undefined);
  const std::vector<unsigned char> parameters = parameters_of({numbers.data(), outcome.sums.data()});
  outcome.findings =
      launch(module, "k", {.grid = {3, 1, 1}, .block = {64, 1, 1}, .parameters = parameters, .instructions = 100000}, memory);
  return outcome;
}

/// The findings when `right` in the text is replaced by `wrong`.
std::vector<Finding> plant(const std::string& right, const std::string& wrong) {
  std::string body(kSum);
  const std::size_t at = body.find(right);
  EXPECT_NE(at, std::string::npos) << right;
  EXPECT_EQ(body.find(right, at + 1), std::string::npos) << right;
  return run(body.replace(at, right.size(), wrong)).findings;
}

TEST(PtxFaultTest, AKernelThatIsRightHasNone) {
  const Outcome outcome = run(std::string(kSum));
  EXPECT_THAT(outcome.findings, IsEmpty());
  EXPECT_THAT(outcome.sums, ElementsAre(2016U, 6112U, 10208U));
}

TEST(PtxFaultTest, ALoadBehindAnAllocation) {
  const std::vector<Finding> found = plant("ld.global.u32 %r4, [%rd2];", "ld.global.u32 %r4, [%rd2+4];");
  ASSERT_THAT(found, ElementsAre(FaultIs(Fault::bounds)));
  EXPECT_EQ(found[0].times, 1U);
  EXPECT_EQ(found[0].instruction, "ld.global.u32 %r4, [%rd2+4]");
  EXPECT_THAT(found[0].what, HasSubstr("block (2, 0, 0), thread 63: a load of 4 bytes"));
  EXPECT_THAT(found[0].what, HasSubstr("768 bytes into numbers, which has 768"));
}

TEST(PtxFaultTest, ALoadThatReachesOverAnEnd) {
  EXPECT_THAT(plant("ld.global.u32 %r4, [%rd2];", "and.b64 %rd5, %rd2, -8; ld.global.v2.u32 {%r4, %r12}, [%rd5+4];"),
              testing::Contains(FaultIs(Fault::alignment)));
}

TEST(PtxFaultTest, AnAddressThatIsNotAligned) {
  EXPECT_THAT(plant("ld.global.u32 %r4, [%rd2];", "ld.global.u32 %r4, [%rd2+2];"), ElementsAre(FaultIs(Fault::alignment)));
}

TEST(PtxFaultTest, AStoreToWhatMayOnlyBeRead) {
  EXPECT_THAT(run(std::string(kSum), MemoryMap::Access::read).findings, ElementsAre(FaultIs(Fault::read_only)));
}

TEST(PtxFaultTest, ASharedAddressBehindTheEnd) {
  EXPECT_THAT(plant("st.shared.u32 [%r7], %r4;", "st.shared.u32 [%r7+4], %r4;"),
              testing::UnorderedElementsAre(FaultIs(Fault::bounds), FaultIs(Fault::undefined_memory)));
}

TEST(PtxFaultTest, ARegisterThatNobodyWrote) {
  EXPECT_THAT(plant("add.s32 %r11, %r9, %r10;", "add.s32 %r11, %r9, %r20;"), ElementsAre(FaultIs(Fault::undefined_register)));
  EXPECT_THAT(plant("setp.eq.s32 %p1, %r6, 0;", "@%p5 setp.eq.s32 %p1, %r6, 0;"),
              testing::Contains(FaultIs(Fault::undefined_register)));
}

TEST(PtxFaultTest, SharedMemoryThatNobodyWrote) {
  EXPECT_THAT(plant("setp.eq.s32 %p1, %r6, 0;", "setp.eq.s32 %p1, %r1, 0;"), ElementsAre(FaultIs(Fault::undefined_memory)));
}

TEST(PtxFaultTest, WhatOnlyTheBlockBeforeWrote) {
  const std::vector<Finding> shared = plant("setp.eq.s32 %p1, %r6, 0;", "or.b32 %r13, %r6, %r2; setp.eq.s32 %p1, %r13, 0;");
  ASSERT_THAT(shared, ElementsAre(FaultIs(Fault::undefined_memory)));
  EXPECT_EQ(shared[0].times, 2U);  // blocks
  const std::vector<Finding> registers =
      plant("bar.sync 0;", "bar.sync 0; setp.eq.u32 %p3, %r2, 0; @%p3 mov.u32 %r13, 1; add.s32 %r14, %r13, 0;");
  ASSERT_THAT(registers, ElementsAre(FaultIs(Fault::undefined_register)));
  EXPECT_EQ(registers[0].times, 4U);  // warps
}

TEST(PtxFaultTest, BlocksThatMeetInMemory) {
  const std::vector<Finding> both_write = plant("mul.wide.u32 %rd3, %r2, 4;", "mov.u64 %rd3, 0;");
  ASSERT_THAT(both_write, ElementsAre(FaultIs(Fault::race)));
  EXPECT_EQ(both_write[0].times, 2U);
  EXPECT_THAT(both_write[0].what, HasSubstr("a store of 4 bytes at byte 0 of sums, which another block of the launch uses"));
  const std::string store = "st.global.u32 [%rd4], %r11;";
  const std::vector<Finding> reads_what_was_written = plant(store, store + "ld.global.u32 %r12, [%rd31];");
  ASSERT_THAT(reads_what_was_written, ElementsAre(FaultIs(Fault::race)));
  EXPECT_EQ(reads_what_was_written[0].times, 2U);
  const std::vector<Finding> writes_what_was_read = plant(store, "ld.global.u32 %r12, [%rd31+8];" + store);
  ASSERT_THAT(writes_what_was_read, ElementsAre(FaultIs(Fault::undefined_memory), FaultIs(Fault::race)));
  EXPECT_EQ(writes_what_was_read[1].times, 1U);
  EXPECT_THAT(writes_what_was_read[1].instruction, HasSubstr("st.global"));
}

TEST(PtxFaultTest, MemoryThatOthersWriteIsDefinedToTheByte) {
  alignas(64) std::array<unsigned char, 300> bytes{};
  MemoryMap memory;
  memory.add(bytes.data() + 5, 200, "bytes", MemoryMap::Access::write, MemoryMap::Contents::undefined);
  memory.written(bytes.data() + 30, 150);
  memory.written(bytes.data() + 200, 6);  // past its end, so not in this allocation
  const MemoryMap::Range* const range = memory.before(reinterpret_cast<std::uintptr_t>(bytes.data() + 5));
  for (std::size_t i = 5; i < 205; ++i)
    EXPECT_EQ(range->is_written(reinterpret_cast<std::uintptr_t>(bytes.data() + i), 1), i >= 30 && i < 180) << i;
  memory.written(bytes.data() + 5, 200);
  EXPECT_THAT(range->written, IsEmpty());
}

TEST(PtxFaultTest, GlobalMemoryThatNobodyWrote) {
  EXPECT_THAT(plant("st.global.u32 [%rd4], %r11;", "ld.global.u32 %r12, [%rd4]; st.global.u32 [%rd4], %r11;"),
              ElementsAre(FaultIs(Fault::undefined_memory)));
}

TEST(PtxFaultTest, ABarrierThatIsNotThere) {
  const std::vector<Finding> found = plant("bar.sync 0;", "");
  // Warp 0 reads before warp 1 has written, and warp 1 then writes what was read.
  EXPECT_THAT(found, testing::UnorderedElementsAre(FaultIs(Fault::undefined_memory), FaultIs(Fault::race)));
}

TEST(PtxFaultTest, ABarrierThatOneWarpDoesNotReach) {
  EXPECT_THAT(plant("bar.sync 0;", "setp.lt.u32 %p3, %r1, 32; @%p3 bar.sync 0;"),
              testing::Contains(FaultIs(Fault::divergent_barrier)));
}

TEST(PtxFaultTest, ABarrierThatOneLaneDoesNotReach) {
  EXPECT_THAT(plant("bar.sync 0;", "setp.ne.s32 %p3, %r1, 7; @%p3 bar.sync 0;"),
              testing::Contains(FaultIs(Fault::divergent_barrier)));
}

TEST(PtxFaultTest, ABarrierThatALaneHasEndedBefore) {
  EXPECT_THAT(plant("bar.sync 0;", "setp.eq.s32 %p3, %r1, 7; @%p3 ret; bar.sync 0;"),
              testing::Contains(FaultIs(Fault::divergent_barrier)));
}

TEST(PtxFaultTest, AMaskThatDoesNotNameTheLane) {
  const std::vector<Finding> found = plant("%r4, 16, 31, -1;", "%r4, 16, 31, 0xFFFF;");
  ASSERT_THAT(found, testing::Contains(FaultIs(Fault::lanes)));
}

TEST(PtxFaultTest, AMaskThatNamesALaneWhichDoesNotCome) {
  const std::vector<Finding> found =
      plant("shfl.sync.bfly.b32 %r5, %r4, 1, 31, -1;",
            "setp.ne.s32 %p4, %r1, 9; mov.u32 %r5, 0; @%p4 shfl.sync.bfly.b32 %r5, %r4, 1, 31, -1;");
  EXPECT_THAT(found, testing::Contains(FaultIs(Fault::lanes)));
}

TEST(PtxFaultTest, AShuffleFromALaneThatTakesNoPart) {
  EXPECT_THAT(plant("shfl.sync.bfly.b32 %r5, %r4, 1, 31, -1;",
                    "setp.lt.u32 %p4, %r6, 31; mov.u32 %r5, 0; @%p4 shfl.sync.bfly.b32 %r5, %r4, 1, 31, 0x7FFFFFFF;"),
              testing::Contains(FaultIs(Fault::lanes)));
}

TEST(PtxFaultTest, TwoLanesOfAWarpWithoutAWarpBarrier) {
  const std::string exchange =
      "shl.b32 %r13, %r6, 2; and.b32 %r13, %r13, 4; setp.lt.u32 %p6, %r1, 2; @%p6 st.shared.u32 [%r13], %r1; ";
  const std::string read = "xor.b32 %r14, %r13, 4; @%p6 ld.shared.u32 %r15, [%r14]; bar.sync 0; and.b32 %r6, %r1, 31;";
  EXPECT_THAT(plant("and.b32 %r6, %r1, 31;", "and.b32 %r6, %r1, 31;" + exchange + read), ElementsAre(FaultIs(Fault::race)));
  EXPECT_THAT(plant("and.b32 %r6, %r1, 31;", "and.b32 %r6, %r1, 31;" + exchange + "bar.warp.sync -1; " + read), IsEmpty());
}

TEST(PtxFaultTest, AnInstructionThatNeverEnds) {
  EXPECT_THAT(plant("bar.sync 0;", "FOREVER: bra FOREVER; bar.sync 0;"), ElementsAre(FaultIs(Fault::no_end)));
}

TEST(PtxFaultTest, ALaunchWithOtherParametersIsRefused) {
  const Module module = Module::parse(kernel_of("", 1));
  MemoryMap memory;
  EXPECT_THROW((void)launch(module, "k", {}, memory), std::invalid_argument);
  EXPECT_THROW((void)launch(module, "j", {}, memory), std::out_of_range);
}

}  // namespace
}  // namespace ptx::test
