// SPDX-License-Identifier: Apache-2.0
#include "core/layer_changes.hpp"

#include <gtest/gtest.h>

namespace lamella::core {
namespace {

std::shared_ptr<LayerSpec> layer(const std::string& name, LayerParams params = IdentityParams{}) {
  auto result = std::make_shared<LayerSpec>();
  result->name = name;
  result->params = std::move(params);
  return result;
}

std::shared_ptr<const ModelSpec> model(std::vector<std::shared_ptr<const LayerSpec>> layers) {
  auto result = std::make_shared<ModelSpec>();
  result->layers = std::move(layers);
  return result;
}

TEST(LayerChangesTest, ReplaceALayerEverywhereAndLeaveTheOriginalModel) {
  const auto shared = layer("shared");
  const auto other = layer("other");
  const auto dense = layer("dense", DenseParams{.units = 1, .activation = {}, .activation_layer = shared});
  const auto whole = model({shared, layer("nested", NestedParams{model({other, shared})}),
                            layer("distributed", TimeDistributedParams{shared}), dense, other});
  LayerChanges changes;
  int made = 0;
  for (int i = 0; i < 2; ++i) {
    changes.copy_of(*shared, [&](LayerSpec& copy) {
      copy.trainable = false;
      ++made;
    });
  }
  EXPECT_EQ(made, 1);
  changes.copy_of(*dense).name = "renamed";  // the copy inside the nested model changes too
  const auto changed = std::move(changes).apply_to(*whole);
  const auto& copy = changed->layers[0];
  EXPECT_FALSE(copy->trainable);
  EXPECT_EQ(nested_model(*changed->layers[1])->layers[1], copy);
  EXPECT_EQ(layer_inside(*changed->layers[2]), copy.get());
  EXPECT_EQ(layer_inside(*changed->layers[3]), copy.get());
  EXPECT_EQ(changed->layers[3]->name, "renamed");
  EXPECT_EQ(changed->layers[4], other);
  EXPECT_EQ(nested_model(*changed->layers[1])->layers[0], other);
  EXPECT_TRUE(shared->trainable);
  EXPECT_EQ(whole->layers[0], shared);
  EXPECT_EQ(nested_model(*whole->layers[1])->layers[1], shared);
}

TEST(LayerChangesTest, WithoutChangesKeepEveryLayer) {
  const auto one = layer("one");
  const auto whole = model({one, layer("nested", NestedParams{model({one})})});
  EXPECT_EQ(LayerChanges().apply_to(*whole)->layers, whole->layers);
  EXPECT_EQ(LayerChanges().apply_to(one), one);
}

TEST(LayerChangesTest, MayRemoveAnInnerLayer) {
  const auto inside = layer("inside");
  const auto dense = layer("dense", DenseParams{.units = 1, .activation = {}, .activation_layer = inside});
  LayerChanges changes;
  changes.copy_of(*inside).name = "changed";
  std::get<DenseParams>(changes.copy_of(*dense).params).activation_layer = nullptr;
  EXPECT_EQ(layer_inside(*std::move(changes).apply_to(*model({dense}))->layers[0]), nullptr);
}

}  // namespace
}  // namespace lamella::core
