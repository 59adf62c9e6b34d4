// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <random>

#include "tests/ptx/ptx_support.hpp"

/// Tensor cores and asynchronous copies: their results, and the faults that are found.
namespace ptx::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Matrix = std::vector<std::vector<float>>;

/// Random numbers that are exact in both float16 and bfloat16: quarters below 8.
std::uint16_t bits_of(float x, bool bfloat) {
  if (bfloat) return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7FFF'FFFF) == 0) return static_cast<std::uint16_t>(bits >> 16);
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | (((bits >> 23 & 0xFF) - 112) << 10) | (bits >> 13 & 0x3FF));
}

Matrix quarters(unsigned rows, unsigned columns, unsigned seed) {
  std::mt19937 generator(seed);
  Matrix m(rows, std::vector<float>(columns));
  for (auto& row : m) {
    for (float& x : row) x = static_cast<float>(static_cast<int>(generator() % 64) - 32) / 4;
  }
  return m;
}

/// The row and column of element i of a lane's fragments, by the manual.
struct At {
  unsigned row, column;
};
At of_a(unsigned lane, unsigned i) {
  return {lane / 4 + (i < 2 || (i >= 4 && i < 6) ? 0 : 8), lane % 4 * 2 + (i & 1) + (i < 4 ? 0 : 8)};
}
At of_b(unsigned lane, unsigned i) { return {lane % 4 * 2 + (i & 1) + (i < 2 ? 0 : 8), lane / 4}; }
At of_c(unsigned lane, unsigned i) { return {lane / 4 + (i < 2 ? 0 : 8), lane % 4 * 2 + (i & 1)}; }

template <typename T, typename Where, typename Bits>
std::vector<T> fragments(const Matrix& m, unsigned each, const Where& where, const Bits& bits) {
  std::vector<T> all;
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < each; ++i) all.push_back(bits(m[where(lane, i).row][where(lane, i).column]));
  }
  return all;
}

struct Product {
  std::vector<Finding> findings;
  Matrix d;
};

constexpr std::string_view kLoads = R"(
mov.u32 %r1, %tid.x;
mul.wide.u32 %rd1, %r1, 16;
mul.wide.u32 %rd2, %r1, 8;
add.s64 %rd3, %rd30, %rd1;
add.s64 %rd4, %rd31, %rd2;
add.s64 %rd5, %rd32, %rd1;
add.s64 %rd6, %rd33, %rd1;
ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd3];
ld.global.v2.u32 {%r6, %r7}, [%rd4];
ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd5];
)";

std::string mma(bool bfloat) {
  const std::string type = bfloat ? "bf16" : "f16";
  return "mma.sync.aligned.m16n8k16.row.col.f32." + type + "." + type +
         ".f32 {%f1, %f2, %f3, %f4}, {%r2, %r3, %r4, %r5}, {%r6, %r7}, {%f1, %f2, %f3, %f4};\n";
}

Product run(const std::string& body, const Matrix& a, const Matrix& b, const Matrix& c, bool bfloat, double error = 0) {
  const auto narrow = [&](float x) { return bits_of(x, bfloat); };
  const auto same = [](float x) { return x; };
  const auto a_bits = fragments<std::uint16_t>(a, 8, of_a, narrow);
  const auto b_bits = fragments<std::uint16_t>(b, 4, of_b, narrow);
  const auto c_bits = fragments<float>(c, 4, of_c, same);
  std::vector<float> d_bits(128);
  MemoryMap memory;
  memory.add(a_bits.data(), 512, "a", MemoryMap::Access::read);
  memory.add(b_bits.data(), 256, "b", MemoryMap::Access::read);
  memory.add(c_bits.data(), 512, "c", MemoryMap::Access::read);
  memory.add(d_bits.data(), 512, "d");
  const Module module =
      Module::parse(kernel_of(std::string(kLoads) + body + "st.global.v4.f32 [%rd6], {%f1, %f2, %f3, %f4};", 4));
  const std::vector<unsigned char> parameters = parameters_of({a_bits.data(), b_bits.data(), c_bits.data(), d_bits.data()});
  const Launch how{.block = {32, 1, 1}, .parameters = parameters, .approximation_error = error};
  Product result{launch(module, "k", how, memory), Matrix(16, std::vector<float>(8))};
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < 4; ++i) result.d[of_c(lane, i).row][of_c(lane, i).column] = d_bits[lane * 4 + i];
  }
  return result;
}

Matrix truth_of(const Matrix& a, const Matrix& b, const Matrix& c) {
  Matrix d = c;
  for (unsigned r = 0; r < 16; ++r) {
    for (unsigned u = 0; u < 8; ++u) {
      for (unsigned k = 0; k < 16; ++k) d[r][u] += a[r][k] * b[k][u];
    }
  }
  return d;
}

TEST(PtxMatrixTest, AProductOfFragmentsIsThatOfTheMatrices) {
  const Matrix a = quarters(16, 16, 1);
  const Matrix b = quarters(16, 8, 2);
  const Matrix c = quarters(16, 8, 3);
  for (const bool bfloat : {false, true}) {
    for (const double error : {0.0, 1.0}) {  // these sums are exact
      const Product product = run(mma(bfloat), a, b, c, bfloat, error);
      EXPECT_THAT(product.findings, IsEmpty());
      EXPECT_EQ(product.d, truth_of(a, b, c));
    }
  }
}

TEST(PtxMatrixTest, AFragmentOfTheWrongLaneOrRegisterShows) {
  const Matrix a = quarters(16, 16, 1);
  const Matrix b = quarters(16, 8, 2);
  const Matrix c = quarters(16, 8, 3);
  for (const char* wrong :
       {"shfl.sync.bfly.b32 %r2, %r2, 1, 31, -1;\n", "shfl.sync.bfly.b32 %r7, %r7, 4, 31, -1;\n",
        "mov.u32 %r8, %r3; mov.u32 %r3, %r4; mov.u32 %r4, %r8;\n", "mov.u32 %r8, %r6; mov.u32 %r6, %r7; mov.u32 %r7, %r8;\n"})
    EXPECT_NE(run(wrong + mma(false), a, b, c, false).d, truth_of(a, b, c)) << wrong;
}

TEST(PtxMatrixTest, AProductWantsTheWholeWarp) {
  const Matrix zero(16, std::vector<float>(16));
  const Product product = run("setp.ne.u32 %p1, %r1, 9; @%p1 " + mma(false), zero, zero, zero, false);
  ASSERT_THAT(product.findings, ElementsAre(FaultIs(Fault::lanes)));
  EXPECT_THAT(product.findings[0].what, HasSubstr("a product that not all lanes come to"));
}

/// Bits that tensor cores truncate are lost with inexact approximations, and count otherwise.
TEST(PtxMatrixTest, SumsAreRoundedOnceOrCut) {
  Matrix a(16, std::vector<float>(16));
  Matrix b(16, std::vector<float>(8));
  Matrix c(16, std::vector<float>(8));
  a[0][0] = a[0][1] = 1;  // 1 + 2^-24 + 2^-24, of which each is beyond the last bit of the 1
  a[1][0] = 4;
  a[2][0] = 0.5F;
  a[2][1] = -0.5F;
  b[0][0] = 0x1p-14F;
  b[1][0] = 0x1p-14F;
  for (float& x : a[0]) x *= 0x1p-10F;
  c[0][0] = 1;
  c[1][0] = -1;
  c[2][0] = 3;
  const Matrix exact = run(mma(false), a, b, c, false).d;
  const Matrix cut = run(mma(false), a, b, c, false, 1).d;
  EXPECT_EQ(exact[0][0], 1 + 0x1p-23F);
  EXPECT_EQ(cut[0][0], 1);
  EXPECT_EQ(exact[1][0], -1 + 0x1p-12F);
  EXPECT_EQ(cut[1][0], -1 + 0x1p-12F);
  EXPECT_EQ(cut[2][0], 3);
}

TEST(PtxMatrixTest, NaNAndInfinitiesAreOfTheirRowsAndColumns) {
  Matrix a(16, std::vector<float>(16, 1));
  Matrix b(16, std::vector<float>(8, 1));
  const Matrix c(16, std::vector<float>(8));
  const float inf = std::numeric_limits<float>::infinity();
  a[3][5] = inf;
  b[7][2] = inf;
  for (const double error : {0.0, 1.0}) {
    Matrix d = run(mma(true), a, b, c, true, error).d;
    EXPECT_EQ(d[3][0], inf);
    EXPECT_EQ(d[0][2], inf);
    EXPECT_EQ(d[0][0], 16);
    a[3][7] = -1;
    d = run(mma(true), a, b, c, true, error).d;
    EXPECT_TRUE(std::isnan(d[3][2]));  // inf - inf
    a[3][7] = 1;
  }
}

/// Each of 64 threads copies 16 bytes into shared memory, waits, and after a barrier reads its neighbour's.
constexpr std::string_view kCopy = R"(
mov.u32 %r1, %tid.x;
shl.b32 %r2, %r1, 4;
mov.u32 %r3, pad;
add.s32 %r4, %r3, %r2;
cvt.u64.u32 %rd1, %r2;
add.s64 %rd2, %rd30, %rd1;
add.s64 %rd3, %rd31, %rd1;
mov.u32 %r9, 16;
cp.async.cg.shared.global [%r4], [%rd2], 16;
cp.async.commit_group;
cp.async.wait_group 0;
bar.sync 0;
xor.b32 %r5, %r4, 16;
ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r5];
st.global.v4.u32 [%rd3], {%r10, %r11, %r12, %r13};
)";

struct Copied {
  std::vector<Finding> findings;
  std::vector<std::uint32_t> words;
};

Copied copy(const std::string& right = "", const std::string& wrong = "", std::size_t bytes = 1024) {
  std::string body(kCopy);
  if (!right.empty()) {
    const std::size_t at = body.find(right);
    EXPECT_NE(at, std::string::npos) << right;
    body.replace(at, right.size(), wrong);
  }
  const Module module = Module::parse(kernel_of(body, 2, ".shared .align 16 .b8 pad[1040];"));
  std::vector<std::uint32_t> numbers(256);
  for (std::uint32_t i = 0; i < 256; ++i) numbers[i] = i + 1;
  Copied result{{}, std::vector<std::uint32_t>(256)};
  MemoryMap memory;
  memory.add(numbers.data(), bytes, "numbers", MemoryMap::Access::read);
  memory.add(result.words.data(), 1024, "copies");
  const std::vector<unsigned char> parameters = parameters_of({numbers.data(), result.words.data()});
  result.findings = launch(module, "k", {.grid = {1, 1, 1}, .block = {64, 1, 1}, .parameters = parameters}, memory);
  return result;
}

constexpr const char* kBegin = "cp.async.cg.shared.global [%r4], [%rd2], 16;";

TEST(PtxCopyTest, ACopyIsThereOnceItWasWaitedFor) {
  const Copied right = copy();
  EXPECT_THAT(right.findings, IsEmpty());
  for (std::uint32_t i = 0; i < 256; ++i) EXPECT_EQ(right.words[i], (i ^ 4) + 1) << i;
  EXPECT_THAT(copy("cp.async.commit_group;\ncp.async.wait_group 0;", "cp.async.wait_all;").findings, IsEmpty());
  EXPECT_EQ(copy(kBegin, "cp.async.ca.shared.global [%r4], [%rd2], 8; cp.async.ca.shared.global [%r4+8], [%rd2+8], 8;").words,
            right.words);
}

TEST(PtxCopyTest, WhatIsNotBroughtIsZero) {
  // The last thread copies six bytes; the memory after them may belong to anything.
  const Copied some = copy(
      kBegin, "setp.eq.u32 %p1, %r1, 63; selp.b32 %r9, 6, 16, %p1; cp.async.cg.shared.global [%r4], [%rd2], 16, %r9;", 1024 - 10);
  EXPECT_THAT(some.findings, IsEmpty());
  EXPECT_THAT((std::vector<std::uint32_t>(some.words.begin() + 248, some.words.begin() + 252)),
              ElementsAre(253, 254 & 0xFFFF, 0, 0));
  const Copied none = copy(kBegin, "cp.async.cg.shared.global [%r4], [%rd2], 16, 0;", 4);
  EXPECT_THAT(none.findings, IsEmpty());
  EXPECT_THAT(none.words, testing::Each(0U));
}

TEST(PtxCopyTest, OnlyTheGroupsThatWereWaitedForAreThere) {
  const std::string two = std::string(kBegin) + "cp.async.commit_group;\n" +
                          "add.s32 %r6, %r4, 16; setp.eq.u32 %p1, %r1, 63; @%p1 cp.async.ca.shared.global [%r6], [%rd30], 16;";
  EXPECT_THAT(copy(kBegin, two).findings, IsEmpty());
  const std::string all = std::string(kBegin) + "\ncp.async.commit_group;\ncp.async.wait_group 0;";
  EXPECT_THAT(copy(all, two + "cp.async.commit_group; cp.async.wait_group 1;").findings, IsEmpty());
  EXPECT_THAT(copy(all, two + "cp.async.commit_group; cp.async.wait_group 2;").findings, ElementsAre(FaultIs(Fault::in_flight)));
  EXPECT_THAT(copy("cp.async.commit_group;", "").findings, ElementsAre(FaultIs(Fault::in_flight)));  // in no group
}

TEST(PtxCopyTest, AWaitThatIsNotThereIsFound) {
  const std::vector<Finding> found = copy("cp.async.wait_group 0;", "").findings;
  ASSERT_THAT(found, ElementsAre(FaultIs(Fault::in_flight)));
  EXPECT_THAT(found[0].instruction, HasSubstr("ld.shared"));
  EXPECT_THAT(found[0].what, HasSubstr("which an asynchronous copy may write yet"));
  EXPECT_THAT(copy(kBegin, std::string(kBegin) + "st.shared.u32 [%r4], %r1;").findings, Contains(FaultIs(Fault::in_flight)));
}

TEST(PtxCopyTest, ABarrierThatIsNotThereIsARace) {
  EXPECT_THAT(copy("bar.sync 0;", "").findings, ElementsAre(FaultIs(Fault::race)));
  // Begins a copy to memory that others may still read.
  const std::string again = "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r5];\n";
  EXPECT_THAT(copy(again, again + kBegin + "cp.async.wait_all;").findings, ElementsAre(FaultIs(Fault::race)));
  EXPECT_THAT(copy(again, again + "bar.sync 0;" + kBegin + "cp.async.wait_all;").findings, IsEmpty());
}

TEST(PtxCopyTest, BothAddressesAreChecked) {
  const auto found = [](const std::string& begin) { return copy(kBegin, begin).findings; };
  EXPECT_THAT(found("cp.async.cg.shared.global [%r4], [%rd2+4], 16;"), Contains(FaultIs(Fault::alignment)));
  EXPECT_THAT(found("cp.async.cg.shared.global [%r4+8], [%rd2], 16;"), Contains(FaultIs(Fault::alignment)));
  EXPECT_THAT(found("cp.async.cg.shared.global [%r4], [%rd2+16], 16;"), Contains(FaultIs(Fault::bounds)));
  EXPECT_THAT(found("cp.async.cg.shared.global [%r4+32], [%rd2], 16;"), Contains(FaultIs(Fault::bounds)));
  EXPECT_THAT(found("cp.async.cg.shared.global [%r4], [%rd2], 16, 17;"), Contains(FaultIs(Fault::bounds)));
  EXPECT_THAT(found("cp.async.cg.shared.global [%r20], [%rd2], 16;"), Contains(FaultIs(Fault::undefined_register)));
  EXPECT_THAT(found("cp.async.cg.shared.global [%r4], [%rd20], 16;"), Contains(FaultIs(Fault::undefined_register)));
}

TEST(PtxCopyTest, WhatABlockLeavesInFlightIsNoneOfTheNext) {
  const std::string body = R"(
mov.u32 %r1, %tid.x;
shl.b32 %r2, %r1, 4;
mov.u32 %r3, %ctaid.x;
setp.eq.u32 %p1, %r3, 0;
@%p1 cp.async.cg.shared.global [%r2], [%rd30], 16;
@%p1 ret;
st.shared.u32 [%r2], %r1;
)";
  const Module module = Module::parse(kernel_of(body, 1, ".shared .align 16 .b8 pad[512];"));
  alignas(16) std::array<unsigned char, 16> bytes{};
  MemoryMap memory;
  memory.add(bytes.data(), 16, "bytes");
  const std::vector<unsigned char> parameters = parameters_of({bytes.data()});
  EXPECT_THAT(launch(module, "k", {.grid = {2, 1, 1}, .block = {32, 1, 1}, .parameters = parameters}, memory), IsEmpty());
}

TEST(PtxCopyTest, ATrapIsFound) {
  const std::vector<Finding> found = copy("bar.sync 0;", "trap;").findings;
  ASSERT_THAT(found, ElementsAre(FaultIs(Fault::trap)));
  EXPECT_EQ(found[0].times, 1U);
}

}  // namespace
}  // namespace ptx::test
