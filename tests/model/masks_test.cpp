// SPDX-License-Identifier: Apache-2.0
// Masks that lamella cannot follow are refused by the name of the layer that would use them.
#include <gmock/gmock.h>

#include <lamella/lamella.hpp>

namespace lamella {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// What is said of a model that ends in a mean of masked steps.
std::string refusal(const std::vector<Layer>& between) {
  std::vector<Layer> layers{Input({4}, {.dtype = "int32"}), Embedding(7, 3, {.mask_zero = true, .name = "table"})};
  layers.insert(layers.end(), between.begin(), between.end());
  layers.emplace_back(GlobalAveragePooling1D({.name = "pool"}));
  try {
    (void)Sequential(layers).compile();
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    return error.what();
  }
  return {};
}

TEST(MaskTest, AMeanBehindLayersWhoseMasksDependOnTheVersionIsRefused) {
  const auto named = AllOf(HasSubstr("layer 'pool'"), HasSubstr("'table'"));
  EXPECT_THAT(refusal({TimeDistributed(Dense(2))}), named);
  EXPECT_THAT(refusal({Reshape({4, 3})}), named);
  EXPECT_THAT(refusal({Identity()}), named);
  EXPECT_THAT(refusal({Permute({2, 1})}), named);
}

TEST(MaskTest, AMeanBehindLayersThatKeepOrLoseMasksIsComputed) {
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({Dense(2, {.activation = "softmax"}), Dropout(0.5), BatchNormalization(), ReLU()}), "");
  EXPECT_EQ(refusal({EinsumDense("abc,cd->abd", {-1, 2})}), "");
  EXPECT_EQ(refusal({Cropping1D()}), "");
}

}  // namespace
}  // namespace lamella
