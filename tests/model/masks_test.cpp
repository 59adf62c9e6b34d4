// SPDX-License-Identifier: Apache-2.0
// For masks that lamella cannot follow, errors name the layer that would use them.
#include <gmock/gmock.h>

#include <lamella/lamella.hpp>

namespace lamella {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Layers = std::vector<Layer>;

/// The error for a model whose last layer follows masked steps.
std::string refusal(const Layers& between, const Layer& last = GlobalAveragePooling1D({.name = "last"})) {
  std::vector<Layer> layers{Input({4}, {.dtype = "int32"}), Embedding(7, 3, {.mask_zero = true, .name = "table"})};
  layers.insert(layers.end(), between.begin(), between.end());
  layers.push_back(last);
  try {
    (void)Sequential(layers).compile();
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    return error.what();
  }
  return {};
}

TEST(MaskTest, AMeanAfterALayerWithoutEffectIsRefused) {
  const auto named = AllOf(HasSubstr("layer 'last'"), HasSubstr("'table'"), HasSubstr("the argument 'mask'"));
  EXPECT_THAT(refusal({Reshape({4, 3})}), named);
  EXPECT_THAT(refusal({Permute({1, 2})}), named);
  EXPECT_THAT(refusal({Dense(2), Cropping1D({0, 0}), Dense(3)}), named);
}

TEST(MaskTest, AMeanAfterLayersThatKeepOrLoseMasksIsComputed) {
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({Dense(2, {.activation = "softmax"}), Dropout(0.5), BatchNormalization(), ReLU()}), "");
  EXPECT_EQ(refusal({TimeDistributed(Dense(2)), Identity(), Rescaling(2)}), "");
  EXPECT_EQ(refusal({EinsumDense("abc,cd->abd", {-1, 2})}), "");
  EXPECT_EQ(refusal({Cropping1D()}), "");
  EXPECT_EQ(refusal({Permute({2, 1})}), "");
}

TEST(MaskTest, ASoftmaxWhoseMaskHasFewerAxesIsRefused) {
  const auto named = AllOf(HasSubstr("layer 'last'"), HasSubstr("the mask of 'table' has 2 axes, its input 3"),
                           HasSubstr("keras.ops.expand_dims(mask, -1)"));
  EXPECT_THAT(refusal({Dense(4)}, Softmax({.name = "last"})), named);
  EXPECT_THAT(refusal({Dense(1)}, TimeDistributed(Softmax(), {.name = "last"})), HasSubstr("'table'"));
  EXPECT_EQ(refusal({Flatten()}, Softmax({.name = "last"})), "");
}

}  // namespace
}  // namespace lamella
