// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <string>

#include "tests/ptx/ptx_support.hpp"

/// Grids that begin before those before them have ended.
namespace ptx::test {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

/// Adds a thread's weight to the number of the grid before: reads the weight, then waits.
constexpr std::string_view kAdd = R"(
griddepcontrol.launch_dependents;
mov.u32 %r1, %tid.x;
mov.u32 %r2, %ctaid.x;
shl.b32 %r3, %r2, 6;
add.s32 %r1, %r1, %r3;
mul.wide.u32 %rd1, %r1, 4;
add.s64 %rd2, %rd30, %rd1;
add.s64 %rd3, %rd31, %rd1;
add.s64 %rd4, %rd32, %rd1;
ld.global.u32 %r4, [%rd2];
griddepcontrol.wait;
ld.global.u32 %r5, [%rd3];
add.s32 %r6, %r4, %r5;
st.global.u32 [%rd4], %r6;)";

struct Outcome {
  std::vector<Finding> findings;
  std::array<std::uint32_t, 128> numbers;
  bool let_next_begin;
};

/// Two grids of kAdd: 1 + 10 + 100. The second, `changed`, begins first.
Outcome run(std::string_view right, std::string_view wrong) {
  std::string changed(kAdd);
  const std::size_t at = changed.find(right);
  EXPECT_NE(at, std::string::npos) << right;
  changed.replace(at, right.size(), wrong);
  const Module first = Module::parse(kernel_of(kAdd, 3));
  const Module second = Module::parse(kernel_of(changed, 3));
  std::array<std::uint32_t, 128> source{};
  std::array<std::uint32_t, 128> of_first{};
  std::array<std::uint32_t, 128> of_second{};
  std::array<std::uint32_t, 128> between{};
  source.fill(1);
  of_first.fill(10);
  of_second.fill(100);
  Outcome outcome{};
  MemoryMap memory;
  memory.add(source.data(), 512, "source", MemoryMap::Access::read);
  memory.add(of_first.data(), 512, "the first weights", MemoryMap::Access::read);
  memory.add(of_second.data(), 512, "the second weights", MemoryMap::Access::read);
  memory.add(between.data(), 512, "between");
  memory.add(outcome.numbers.data(), 512, "numbers", MemoryMap::Access::write, MemoryMap::Contents::undefined);
  const auto of_grid = [](const std::vector<unsigned char>& parameters) {
    return Launch{.grid = {2, 1, 1}, .block = {64, 1, 1}, .parameters = parameters};
  };
  const std::vector<unsigned char> one = parameters_of({of_first.data(), source.data(), between.data()});
  const std::vector<unsigned char> two = parameters_of({of_second.data(), between.data(), outcome.numbers.data()});
  EarlyGrid early(second, "k", of_grid(two), memory);
  outcome.let_next_begin = early.lets_next_begin();
  EXPECT_THAT(launch(first, "k", of_grid(one), memory), IsEmpty());
  outcome.findings = early.finish();
  return outcome;
}

TEST(PtxOverlapTest, WhatWaitsIsRight) {
  const Outcome outcome = run("", "");
  EXPECT_THAT(outcome.findings, IsEmpty());
  EXPECT_THAT(outcome.numbers, Each(111U));
  EXPECT_TRUE(outcome.let_next_begin);
}

TEST(PtxOverlapTest, WhatIsReadBeforeTheWaitIsOld) {
  const Outcome outcome =
      run("griddepcontrol.wait;\nld.global.u32 %r5, [%rd3];", "ld.global.u32 %r5, [%rd3];\ngriddepcontrol.wait;");
  EXPECT_THAT(outcome.findings, IsEmpty());  // the double knows who wrote it
  EXPECT_THAT(outcome.numbers, Each(100U));
}

TEST(PtxOverlapTest, WritingOrEndingBeforeTheWaitIsFound) {
  EXPECT_THAT(run("griddepcontrol.wait;", "").findings, ElementsAre(FaultIs(Fault::early), FaultIs(Fault::early)));
  EXPECT_THAT(run("griddepcontrol.wait;\nld.global.u32 %r5, [%rd3];\nadd.s32 %r6, %r4, %r5;\nst.global.u32 [%rd4], %r6;",
                  "st.global.u32 [%rd4], %r4;\ngriddepcontrol.wait;")
                  .findings,
              ElementsAre(FaultIs(Fault::early)));
  EXPECT_THAT(run("griddepcontrol.wait;", "setp.lt.u32 %p1, %r4, 5; @%p1 griddepcontrol.wait;").findings,
              testing::Contains(FaultIs(Fault::early)));
  EXPECT_THAT(run("griddepcontrol.wait;", "mov.u32 %r7, %tid.x; setp.lt.u32 %p1, %r7, 40; @%p1 griddepcontrol.wait;").findings,
              testing::Contains(FaultIs(Fault::early)));
}

TEST(PtxOverlapTest, TheNextMayBeginOnceAllBlocksHaveSaidSo) {
  EXPECT_FALSE(run("griddepcontrol.launch_dependents;", "").let_next_begin);
  Outcome late =
      run("griddepcontrol.launch_dependents;\nmov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;",
          "mov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;\nsetp.eq.u32 %p1, %r2, 1;\n@%p1 griddepcontrol.launch_dependents;");
  EXPECT_FALSE(late.let_next_begin);
  EXPECT_THAT(late.numbers, Each(111U));
}

/// Warps that wait for other grids keep the others at the block's barrier.
TEST(PtxOverlapTest, ABarrierBeforeTheWaitIsKept) {
  const Outcome outcome = run("griddepcontrol.wait;",
                              "mov.u32 %r7, %tid.x; setp.lt.u32 %p1, %r7, 40; @%p1 griddepcontrol.wait; bar.sync 0;\n"
                              "@!%p1 griddepcontrol.wait; bar.sync 0;");
  EXPECT_THAT(outcome.findings, IsEmpty());
  EXPECT_THAT(outcome.numbers, Each(111U));
}

}  // namespace
}  // namespace ptx::test
