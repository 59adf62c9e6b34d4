// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <numeric>

#include "tests/ptx/ptx_support.hpp"

/// Control flow: divergent branches, loops, calls, exchanges, barriers, blocks.
namespace ptx::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// Runs a kernel whose only pointer is to one 32-bit result per thread, which `body` leaves in %r10.
std::vector<std::uint32_t> run(const std::string& body, unsigned threads, unsigned blocks = 1, std::size_t shared = 0,
                               std::string_view declarations = "") {
  const std::string all = "mov.u32 %r1, %tid.x;\n" + body +
                          "\nmov.u32 %r30, %ntid.x;\nmov.u32 %r31, %ctaid.x;\nmad.lo.s32 %r32, %r30, %r31, %r1;\n"
                          "mul.wide.u32 %rd1, %r32, 4;\nadd.s64 %rd1, %rd1, %rd30;\nst.global.u32 [%rd1], %r10;";
  const Module module = Module::parse(kernel_of(all, 1, declarations));
  std::vector<std::uint32_t> results(threads * blocks);
  MemoryMap memory;
  memory.add(results.data(), results.size() * 4, "results");
  const std::vector<unsigned char> parameters = parameters_of({results.data()});
  const Launch how{.grid = {blocks, 1, 1}, .block = {threads, 1, 1}, .shared = shared, .parameters = parameters};
  EXPECT_THAT(launch(module, "k", how, memory), IsEmpty());
  return results;
}

TEST(PtxControlTest, LanesPartAndMeetAgain) {
  const std::vector<std::uint32_t> y = run(R"(
    setp.lt.u32 %p1, %r1, 5;
    @%p1 bra LESS;
    mov.u32 %r2, 100;
    bra.uni BOTH;
    LESS: mov.u32 %r2, 200;
    BOTH: shfl.sync.bfly.b32 %r3|%p2, %r2, 16, 31, -1;
    add.u32 %r10, %r2, %r3;)",
                                           32);
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(y[i], i % 16 < 5 ? 300U : 200U) << i;
}

TEST(PtxControlTest, ALoopEndsForEachLaneInItsTime) {
  const std::vector<std::uint32_t> y = run(R"(
    mov.u32 %r2, 0;
    mov.u32 %r10, 0;
    AGAIN: setp.ge.u32 %p1, %r2, %r1;
    @%p1 bra DONE;
    add.u32 %r2, %r2, 1;
    add.u32 %r10, %r10, %r2;
    bra AGAIN;
    DONE:)",
                                           70);
  for (unsigned i = 0; i < 70; ++i) EXPECT_EQ(y[i], i * (i + 1) / 2) << i;
}

TEST(PtxControlTest, LanesThatComeLaterInTheTextAreWaitedFor) {
  // Some lanes reach the shuffle while others are still at later places in the text.
  const std::vector<std::uint32_t> y = run(R"(
    setp.lt.u32 %p1, %r1, 8;
    mov.u32 %r2, %r1;
    @%p1 bra FAR;
    MEET: shfl.sync.idx.b32 %r10, %r2, 3, 31, -1;
    bra DONE;
    FAR: add.u32 %r2, %r1, 1000;
    bra MEET;
    DONE:)",
                                           32);
  EXPECT_THAT(y, testing::Each(1003U));
}

TEST(PtxControlTest, ShufflesKeepToTheirSegments) {
  const std::vector<std::uint32_t> down = run("shfl.sync.down.b32 %r10, %r1, 1, 0x181f, -1;", 32);
  const std::vector<std::uint32_t> up = run("shfl.sync.up.b32 %r10, %r1, 2, 0x1800, -1;", 32);
  for (unsigned i = 0; i < 32; ++i) {
    EXPECT_EQ(down[i], i % 8 == 7 ? i : i + 1) << i;
    EXPECT_EQ(up[i], i % 8 < 2 ? i : i - 2) << i;
  }
}

TEST(PtxControlTest, VotesAreOfTheLanesThatTakePart) {
  EXPECT_THAT(run("setp.eq.u32 %p1, %r1, 3; vote.sync.any.pred %p2, %p1, -1; selp.u32 %r10, 1, 0, %p2;", 32), testing::Each(1U));
  EXPECT_THAT(run("setp.eq.u32 %p1, %r1, 3; vote.sync.all.pred %p2, %p1, -1; selp.u32 %r10, 1, 0, %p2;", 32), testing::Each(0U));
  EXPECT_THAT(run("setp.lt.u32 %p1, %r1, 3; vote.sync.ballot.b32 %r10, %p1, -1;", 32), testing::Each(7U));
}

TEST(PtxControlTest, ATableOfBranchesIsFollowed) {
  const std::vector<std::uint32_t> y = run(R"(
    rem.u32 %r2, %r1, 3;
    TABLE: .branchtargets A, B, C;
    brx.idx %r2, TABLE;
    A: mov.u32 %r10, 10;
    bra DONE;
    B: mov.u32 %r10, 20;
    bra DONE;
    C: mov.u32 %r10, 30;
    DONE:)",
                                           40);
  for (unsigned i = 0; i < 40; ++i) EXPECT_EQ(y[i], 10 * (i % 3 + 1)) << i;
}

TEST(PtxControlTest, AFunctionIsCalled) {
  const std::vector<std::uint32_t> y = run(R"(
    { .param .b32 param0;
      st.param.b32 [param0+0], %r1;
      .param .b32 retval0;
      call.uni (retval0), square, (param0);
      ld.param.b32 %r10, [retval0+0]; })",
                                           40, 1, 0, R"(
    .func (.param .b32 result) square(.param .b32 x)
    { .reg .b32 %r<4>;
      .reg .pred %p<2>;
      ld.param.u32 %r1, [x];
      mul.lo.s32 %r2, %r1, %r1;
      st.param.b32 [result+0], %r2;
      setp.lt.u32 %p1, %r1, 5;
      @%p1 ret;
      add.s32 %r2, %r2, 1;
      st.param.b32 [result+0], %r2;
      ret; })");
  for (unsigned i = 0; i < 40; ++i) EXPECT_EQ(y[i], i * i + (i < 5 ? 0 : 1)) << i;
}

TEST(PtxControlTest, WarpsMeetAtABarrierAndSeeEachOthersWrites) {
  const std::vector<std::uint32_t> y = run(R"(
    mov.u32 %r2, pad;
    shl.b32 %r3, %r1, 2;
    add.s32 %r3, %r2, %r3;
    st.shared.u32 [%r3], %r1;
    bar.sync 0;
    sub.s32 %r4, 95, %r1;
    shl.b32 %r4, %r4, 2;
    add.s32 %r4, %r2, %r4;
    ld.shared.u32 %r10, [%r4];)",
                                           96, 3, 96 * 4, ".extern .shared .align 16 .b8 pad[];");
  for (unsigned i = 0; i < 288; ++i) EXPECT_EQ(y[i], 95 - i % 96) << i;
}

TEST(PtxControlTest, ConstantsOfTheModuleAreRead) {
  EXPECT_THAT(run("mul.wide.u32 %rd2, %r1, 4; mov.u64 %rd3, numbers; cvta.const.u64 %rd3, %rd3; add.s64 %rd2, %rd2, %rd3; ld.u32 "
                  "%r10, [%rd2];",
                  3, 1, 0, ".const .align 4 .u32 numbers[3] = {5, 0x10, 7};"),
              ElementsAre(5U, 16U, 7U));
}

TEST(PtxControlTest, WhatIsNotKnownIsNamedWithKernelAndLine) {
  const Module module = Module::parse(kernel_of("mov.u32 %r1, 1;\nfrobnicate.u32 %r1, %r1;", 0));
  try {
    (void)module.program("k");
    FAIL();
  } catch (const ParseError& error) {
    EXPECT_THAT(error.what(), testing::StrEq("k, line 15: unknown instruction frobnicate.u32: frobnicate.u32 %r1, %r1"));
  }
}

TEST(PtxControlTest, ATextThatEndsEarlyIsRefused) {
  const std::string whole = kernel_of("mov.u32 %r1, 1;", 1);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    try {
      const Module module = Module::parse(whole.substr(0, length));
      for (const std::string& kernel : module.kernels()) (void)module.program(kernel);
    } catch (const ParseError&) {
    }
  }
}

}  // namespace
}  // namespace ptx::test
