// SPDX-License-Identifier: Apache-2.0
// Files of a Sequential saved before it was called, which lack the shape of its input.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <lamella/architecture.hpp>
#include <lamella/npy.hpp>
#include <nlohmann/json.hpp>

namespace lamella {
namespace {

using testing::HasSubstr;

TEST(UnbuiltTest, UsesTheGivenShapeAndComputesWhatKerasDoes) {
  const std::string folder = std::string(LAMELLA_FIXTURES) + "/features/unbuilt/";
  std::ifstream file(folder + "index.json");
  int compared = 0;
  for (const auto& entry : nlohmann::json::parse(file)) {
    SCOPED_TRACE(entry.at("case").get<std::string>());
    const std::string path = folder + entry.at("file").get<std::string>();
    const Options options{.device = Device::cpu()};
    try {
      (void)Model::load(path, options);
      ADD_FAILURE() << "a shape was made up";
    } catch (const LoadError& error) {
      EXPECT_EQ(error.code(), ErrorCode::missing);
      EXPECT_THAT(error.what(), HasSubstr("load_with_shape()"));
    }
    const auto arrays = load_npz(folder + entry.at("arrays").get<std::string>());
    const Tensor& x = arrays.at("x");
    const Tensor& wanted = arrays.at("y");
    const auto extents = x.shape().extents();
    const Tensor y = load_with_shape(path, {extents.begin() + 1, extents.end()}, options).predict(x);
    ASSERT_EQ(to_string(y.shape()), to_string(wanted.shape()));
    for (std::size_t i = 0; i < wanted.span<float>().size(); ++i) {
      EXPECT_NEAR(y.span<float>()[i], wanted.span<float>()[i], 1e-6 * (1 + std::fabs(wanted.span<float>()[i]))) << i;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 6);
}

TEST(UnbuiltTest, AShapeInTheFileTakesPrecedence) {
  const std::string path = std::string(LAMELLA_FIXTURES) + "/keras3/dense/model.keras";
  EXPECT_EQ(load_with_shape(path, {1, 2, 3}).input_shape(), Model::load(path).input_shape());
  EXPECT_THROW((void)load_with_shape(path, {-2}), ArgumentError);
}

}  // namespace
}  // namespace lamella
