// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <random>

#include "tests/ptx/ptx_support.hpp"

/// Tensor cores of 8-bit integers.
namespace ptx::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Bytes = std::vector<std::int8_t>;   ///< a row after another
using Sums = std::vector<std::uint32_t>;  ///< the same, eight columns each

/// m16n8k32, or m8n8k16.
struct Shape {
  unsigned rows, inner;
};
constexpr std::array kShapes{Shape{16, 32}, Shape{8, 16}};

Bytes random_bytes(unsigned count, unsigned seed) {
  std::mt19937 generator(seed);
  Bytes bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::int8_t>(generator());
  return bytes;
}

/// The registers of A and B by the manual: four neighbours along k in each, first all rows and then the upper half of k.
std::vector<std::uint32_t> words_of(const Bytes& m, unsigned rows, unsigned inner) {
  std::vector<std::uint32_t> words;
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned k = lane % 4 * 4; k < inner; k += 16) {
      for (unsigned row = lane / 4; row < rows; row += 8) {
        std::uint32_t word = 0;
        for (unsigned byte = 0; byte < 4; ++byte)
          word |= std::uint32_t{static_cast<std::uint8_t>(m[row * inner + k + byte])} << (8 * byte);
        words.push_back(word);
      }
    }
  }
  return words;
}
unsigned place(unsigned lane, unsigned i) { return (lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2; }

std::string body_of(const Shape& s, const std::string& wrong) {
  const bool large = s.rows == 16;
  const std::string addresses = std::string("mov.u32 %r1, %tid.x;\nmul.wide.u32 %rd1, %r1, ") + (large ? "16" : "4") +
                                ";\nmul.wide.u32 %rd2, %r1, " + (large ? "8" : "4") + ";\nmul.wide.u32 %rd7, %r1, " +
                                (large ? "16" : "8") +
                                ";\nadd.s64 %rd3, %rd30, %rd1;\nadd.s64 %rd4, %rd31, %rd2;\nadd.s64 %rd5, %rd32, %rd7;\n"
                                "add.s64 %rd6, %rd33, %rd7;\n";
  if (!large) {
    return addresses + "ld.global.u32 %r2, [%rd3];\nld.global.u32 %r6, [%rd4];\nld.global.v2.u32 {%r10, %r11}, [%rd5];\n" +
           wrong +
           "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%r10, %r11}, {%r2}, {%r6}, {%r10, %r11};\n"
           "st.global.v2.u32 [%rd6], {%r10, %r11};\n";
  }
  return addresses +
         "ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd3];\nld.global.v2.u32 {%r6, %r7}, [%rd4];\n"
         "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd5];\n" +
         wrong +
         "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r10, %r11, %r12, %r13}, {%r2, %r3, %r4, %r5}, {%r6, %r7}, "
         "{%r10, %r11, %r12, %r13};\nst.global.v4.u32 [%rd6], {%r10, %r11, %r12, %r13};\n";
}

struct Product {
  std::vector<Finding> findings;
  Sums d;
};

Product run(const Shape& s, const Bytes& a, const Bytes& b, const Sums& c, const std::string& wrong = "") {
  const std::vector<std::uint32_t> a_words = words_of(a, s.rows, s.inner);
  const std::vector<std::uint32_t> b_words = words_of(b, 8, s.inner);
  const unsigned each = s.rows / 4;
  Sums c_words;
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < each; ++i) c_words.push_back(c[place(lane, i)]);
  }
  Sums d_words(c_words.size());
  MemoryMap memory;
  memory.add(a_words.data(), a_words.size() * 4, "a", MemoryMap::Access::read);
  memory.add(b_words.data(), b_words.size() * 4, "b", MemoryMap::Access::read);
  memory.add(c_words.data(), c_words.size() * 4, "c", MemoryMap::Access::read);
  memory.add(d_words.data(), d_words.size() * 4, "d");
  const Module module = Module::parse(kernel_of(body_of(s, wrong), 4));
  const std::vector<unsigned char> parameters = parameters_of({a_words.data(), b_words.data(), c_words.data(), d_words.data()});
  Product result{launch(module, "k", {.block = {32, 1, 1}, .parameters = parameters}, memory), Sums(c.size())};
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < each; ++i) result.d[place(lane, i)] = d_words[lane * each + i];
  }
  return result;
}

Sums truth_of(const Shape& s, const Bytes& a, const Bytes& b, const Sums& c) {
  Sums d = c;
  for (unsigned r = 0; r < s.rows; ++r) {
    for (unsigned u = 0; u < 8; ++u) {
      for (unsigned k = 0; k < s.inner; ++k) d[r * 8 + u] += static_cast<std::uint32_t>(a[r * s.inner + k] * b[u * s.inner + k]);
    }
  }
  return d;
}

TEST(PtxIntegerMatrixTest, AProductOfFragmentsIsThatOfTheMatrices) {
  for (const Shape& s : kShapes) {
    const Bytes a = random_bytes(s.rows * s.inner, 1);
    const Bytes b = random_bytes(8 * s.inner, 2);
    Sums c(s.rows * 8);
    for (unsigned i = 0; i < c.size(); ++i) c[i] = i * 1000;
    const Product product = run(s, a, b, c);
    EXPECT_THAT(product.findings, IsEmpty());
    EXPECT_EQ(product.d, truth_of(s, a, b, c));
  }
}

TEST(PtxIntegerMatrixTest, SumsWrapAround) {
  for (const Shape& s : kShapes) {
    const Bytes a(s.rows * s.inner, -128);
    const Bytes b(8 * s.inner, -128);
    const Product product = run(s, a, b, Sums(s.rows * 8, 0x7FFF'FFFF));
    EXPECT_EQ(product.d, Sums(s.rows * 8, 0x7FFF'FFFFU + s.inner * 128 * 128));
  }
}

TEST(PtxIntegerMatrixTest, AFragmentOfTheWrongLaneOrRegisterShows) {
  for (const Shape& s : kShapes) {
    const Bytes a = random_bytes(s.rows * s.inner, 3);
    const Bytes b = random_bytes(8 * s.inner, 4);
    const Sums c(s.rows * 8);
    std::vector<std::string> all{"shfl.sync.bfly.b32 %r2, %r2, 1, 31, -1;\n", "shfl.sync.bfly.b32 %r6, %r6, 4, 31, -1;\n"};
    if (s.rows == 16) {
      all.emplace_back("mov.u32 %r8, %r3; mov.u32 %r3, %r4; mov.u32 %r4, %r8;\n");
      all.emplace_back("mov.u32 %r8, %r6; mov.u32 %r6, %r7; mov.u32 %r7, %r8;\n");
    }
    for (const std::string& wrong : all) EXPECT_NE(run(s, a, b, c, wrong).d, truth_of(s, a, b, c)) << wrong;
  }
}

TEST(PtxIntegerMatrixTest, AProductWantsTheWholeWarp) {
  for (const Shape& s : kShapes) {
    const Bytes zeros(512);
    const Product product = run(s, zeros, zeros, Sums(128), "setp.ne.u32 %p1, %r1, 9; @%p1 ");
    ASSERT_THAT(product.findings, ElementsAre(FaultIs(Fault::lanes)));
    EXPECT_THAT(product.findings[0].what, HasSubstr("a product that not all lanes come to"));
  }
}

}  // namespace
}  // namespace ptx::test
