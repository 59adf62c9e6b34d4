// SPDX-License-Identifier: Apache-2.0
// float32 activations give the same bits on every processor and with every compiler: hashes of their results, computed on
// x86-64. A formula that is changed on purpose changes its hash, and the failure prints the new one.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "core/activation_measure.hpp"

namespace lamella::test {
namespace {

struct Known {
  std::string_view name;
  std::uint64_t hash;
};

/// Without `power`, which calls the C library.
constexpr Known kKnown[] = {
    {"linear", 0x3e38ddbf9bd24a85U},
    {"relu", 0x6a4106467b1b8f3dU},
    {"relu6", 0x4dd677679aaf9609U},
    {"leaky_relu", 0x3954024b4d916099U},
    {"elu", 0xd3116a775c2e9937U},
    {"celu", 0x6991e14072ca6b1bU},
    {"selu", 0x3d8b3547bdca28b9U},
    {"gelu", 0x7fee7f464aef6f65U},
    {"gelu_tanh", 0x6e9bbf7170b0db6dU},
    {"silu", 0xe706766e62e72b29U},
    {"hard_silu", 0xcf0bef919301a1d1U},
    {"sigmoid", 0xfcc458848f160865U},
    {"hard_sigmoid", 0x342901b8b0eca239U},
    {"hard_sigmoid_keras2", 0xfb1574dc8129f669U},
    {"sparse_sigmoid", 0x718a5901cb4c151dU},
    {"log_sigmoid", 0x52efbade67fa097dU},
    {"tanh", 0xbf8160dc9c1c690dU},
    {"hard_tanh", 0xacee13b9dd20b2b5U},
    {"tanh_shrink", 0xd7f07d5662597065U},
    {"softplus", 0x6ed409720d16d59dU},
    {"softsign", 0xb40b5ae9392acff5U},
    {"exponential", 0xdb9153f547f15fe5U},
    {"mish", 0x912ee10438352629U},
    {"squareplus", 0x356322e424403152U},
    {"sparse_plus", 0x5a9715e6740b9e49U},
    {"hard_shrink", 0xeaa2924a216af742U},
    {"soft_shrink", 0xd3f0174d88bff4e4U},
    {"threshold", 0x021592914c25b9d1U},
    {"relu_general", 0x4ee1199c6980b403U},
    {"absolute", 0xb991c1db9bd24a85U},
    {"sign", 0x9613b5c3e70226b5U},
    {"floor", 0x7e43c14930e40035U},
    {"ceil", 0x399ab1a6bf44b3a5U},
    {"round", 0x7f8db2d09fb635bdU},
    {"square", 0x29dfea4aa9c60f21U},
    {"sqrt", 0x4fc84daddcec2de5U},
    {"rsqrt", 0xac33e02d2dccbd59U},
    {"reciprocal", 0x5d6a8cd23158607aU},
    {"divide", 0x6df2e4768c58088bU},
    {"clip", 0xef8e3171b35f4a7bU},
    {"log", 0x284be4821d98d735U},
    {"log1p", 0x226acbf8c552fe9dU},
    {"expm1", 0x32879875a9b5d7f5U},
};

/// FNV-1a over the results for every 66587th float. All NaNs count as one: their sign and payload depend on the processor.
std::uint64_t hash_of(ActivationKind kind) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const auto& p : {std::array{0.7F, 1.5F, 1.25F}, std::array{0.3F, 2.5F, 1.25F}}) {
    for (std::uint64_t bits = 0; bits <= 0xFFFF'FFFFU; bits += 66'587) {
      const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      if (!std::isfinite(x)) continue;
      const float y = core::visit_elementwise(kind, [&](auto op) { return op.template apply<float>(x, p[0], p[1], p[2]); });
      hash = (hash ^ (std::isnan(y) ? 0x7FC0'0000U : std::bit_cast<std::uint32_t>(y))) * 0x100000001b3U;
    }
  }
  return hash;
}

TEST(ActivationBits, AreTheSameOnEveryProcessor) {
  for (const Known& known : kKnown) {
    const auto kinds = elementwise_kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](ActivationKind k) { return to_string(k) == known.name; });
    ASSERT_NE(kind, kinds.end()) << known.name;
    EXPECT_EQ(hash_of(*kind), known.hash) << "{\"" << known.name << "\", 0x" << std::hex << hash_of(*kind) << "U},";
  }
}

}  // namespace
}  // namespace lamella::test
