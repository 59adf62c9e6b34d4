// SPDX-License-Identifier: Apache-2.0
// Models that cannot be built in C++: errors say what is allowed, and nothing half-built remains.
#include <functional>
#include <lamella/models.hpp>
#include <limits>

#include "model/model_support.hpp"

namespace lamella {
namespace {

using namespace test;

const Options kCpu{.device = Device::cpu(), .threads = 1};

struct Refusal {
  ErrorCode code;
  std::string words;
  std::function<void()> make;
};

TEST(BuildersRefusals, BadArgumentsAreRefusedWithTheAllowedOnes) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Refusal> refusals{
      {ErrorCode::value, "[Dense]: layer 'dense' field 'units': got 0, allowed 1..2147483647", [] { Dense(0); }},
      {ErrorCode::value, "layer 'fc' field 'units': got -1", [] { Dense(-1, {.name = "fc"}); }},
      {ErrorCode::value, "relu", [] { Dense(1, {.activation = "rellu"}); }},
      {ErrorCode::value, "which is not a name of keras.activations", [] { Activation("LeakyReLU"); }},
      {ErrorCode::value, "threshold", [] { Activation("threshold"); }},
      {ErrorCode::unsupported, "is a PReLU layer", [] { Activation{PReLU()}; }},
      {ErrorCode::unsupported, "class Sequential is not supported", [] { Dense(1, {.activation = Sequential({Dense(1)})}); }},
      {ErrorCode::value, "glorot", [] { Dense(1, {.kernel_initializer = "glorot"}); }},
      {ErrorCode::value, "[Dense] initializer Constant holds",
       [nan] { Dense(1, {.bias_initializer = Initializer::constant(nan)}); }},
      {ErrorCode::value, "allowed a name or a JSON object", [] { Dense(1, {.kernel_regularizer = "{l2}"}); }},
      {ErrorCode::dtype, "got 'float8', allowed float32", [] { Dense(1, {.dtype = "float8"}); }},
      {ErrorCode::value, "[Dense] name: got 'a/b', allowed no '/'", [] { Dense(1, {.name = "a/b"}); }},
      {ErrorCode::value, "[Rescaling] scale: got a number that is not finite",
       [nan] {
         Rescaling({1.0, nan});
       }},
      {ErrorCode::value, "holds no number", [] { Rescaling({}); }},
      {ErrorCode::value, "negative_slope", [] { LeakyReLU({.negative_slope = -1}); }},
      {ErrorCode::value, "max_value", [] { ReLU({.max_value = -1}); }},
      {ErrorCode::value, "[Dropout] rate: got 1.5, allowed 0..1", [] { Dropout(1.5); }},
      {ErrorCode::value, "[SpatialDropout1D] rate: got -1", [] { SpatialDropout1D(-1); }},
      {ErrorCode::value, "[GaussianNoise] stddev: got nan", [nan] { GaussianNoise{nan}; }},
      {ErrorCode::value, "channels_first", [] { Flatten({.data_format = "first"}); }},
      {ErrorCode::value, "more than one -1",
       [] {
         Reshape({-1, -1});
       }},
      {ErrorCode::value, "got -2, allowed -1..", [] { Reshape({-2}); }},
      {ErrorCode::value, "is an empty list", [] { Softmax({.axis = {}}); }},
      {ErrorCode::value, "[LayerNormalization] axis: got none", [] { LayerNormalization({.axis = {}}); }},
      {ErrorCode::argument, "got 1 and 0 numbers", [] { Normalization({.mean = 1.0}); }},
      {ErrorCode::shape, "got the extent -2", [] { static_cast<void>(Input({-2})); }},
      {ErrorCode::dtype, "complex64", [] { static_cast<void>(Input({2}, {.dtype = "complex64"})); }},
      {ErrorCode::value, "[Sequential] name: got 'a/b'", [] { Sequential({Dense(1)}, {.name = "a/b"}); }},
  };
  for (const Refusal& refusal : refusals) expect_error(refusal.code, refusal.words, refusal.make);
}

TEST(BuildersRefusals, BadGraphsAreRefusedAndTheLayerIsNamed) {
  const auto x = Input({3}, {.name = "x"});
  const auto y = Input({4}, {.name = "y"});
  const Functional two(x, {Dense(1)(x), Dense(2)(x)});
  const std::vector<Refusal> refusals{
      {ErrorCode::shape, "layer 'add': inputs cannot be broadcast",
       [&] {
         Functional({x, y}, Add()({x, y}));
       }},
      {ErrorCode::argument, "layer 'subtract' (Subtract) takes exactly 2 inputs, got 1", [&] { Functional(x, Subtract()(x)); }},
      {ErrorCode::argument, "takes one input, got 2",
       [&] {
         Functional({x, y}, Dense(1)({x, y}));
       }},
      {ErrorCode::argument, "takes one input, got 2",
       [&] {
         Functional({x, y}, Flatten()({x, y}));
       }},
      {ErrorCode::argument, "is called without an input", [&] { Dense(1)({}); }},
      {ErrorCode::value, "depends on Input 'y', which is not among the inputs",
       [&] {
         Functional(x, Concatenate()({x, y}));
       }},
      {ErrorCode::value, "allowed values of Input()", [&] { Functional(Flatten()(x), x); }},
      {ErrorCode::value, "input 'x' is given twice",
       [&] {
         Functional({x, x}, Flatten()(x));
       }},
      {ErrorCode::argument, "got 1 inputs and 0 outputs", [&] { Functional(x, {}); }},
      {ErrorCode::value, "two layers of a model are named 'a'",
       [&] { Functional(x, Dense(1, {.name = "a"})(Dense(1, {.name = "a"})(x))); }},
      {ErrorCode::argument, "has 2 outputs; call() returns all of them", [&] { two(x); }},
      {ErrorCode::shape, "input 0 has shape (None, 4), the model takes (None, 3)", [&] { Functional(y, two.call(y)); }},
  };
  for (const Refusal& refusal : refusals) expect_error(refusal.code, refusal.words, refusal.make);
}

TEST(BuildersRefusals, BadStacksAreRefusedAndTheLayerIsNamed) {
  const auto x = Input({3}, {.name = "x"});
  const auto y = Input({4}, {.name = "y"});
  const Functional two(x, {Dense(1)(x), Dense(2)(x)});
  const std::vector<Refusal> refusals{
      {ErrorCode::shape, "axis 1 of its input is None",
       [] {
         Sequential({Input({-1}), Dense(1)});
       }},
      {ErrorCode::shape, "expected min_ndim=2, found ndim=1",
       [] {
         Sequential({Input({}), Dense(1)});
       }},
      {ErrorCode::unsupported, "layer 'p_re_lu' shared_axes: got 0, the batch axis; lamella computes each sample on its own",
       [] {
         Sequential({Input({3}), PReLU({.shared_axes = {0}})});
       }},
      {ErrorCode::value, "layer 'batch_normalization' axis: got 2",
       [] {
         Sequential({Input({3}), BatchNormalization({.axis = 2})});
       }},
      {ErrorCode::shape, "target_shape",
       [] {
         Sequential({Input({3}), Reshape({2})});
       }},
      {ErrorCode::argument, "'sequential' has no layers", [] { Sequential().build({3}); }},
      {ErrorCode::argument, "is unknown: build() it", [] { static_cast<void>(Sequential({Dense(1)}).compile()); }},
      {ErrorCode::argument, "is unknown: build() it", [] { static_cast<void>(Sequential({Dense(1)}).summary()); }},
      {ErrorCode::argument, "has no weights yet", [] { static_cast<void>(Dense(1).get_weights()); }},
      {ErrorCode::argument, "has no weights yet", [] { static_cast<void>(Sequential({Dense(1)}).count_params()); }},
      {ErrorCode::argument, "is already built",
       [] {
         Sequential({Input({3}), Dense(1)}).build({3});
       }},
      {ErrorCode::value, "may only come first",
       [] {
         Sequential({Dense(1), Input({3})});
       }},
      {ErrorCode::value, "is used where a layer is needed",
       [&] {
         Sequential({Input({3}), Dense(1)(x)});
       }},
      {ErrorCode::argument, "follows a model with 2 outputs",
       [&] {
         Sequential({Input({3}), two, Dense(1)});
       }},
      {ErrorCode::value, "no layer is named 'z'; known: 'input_layer', 'dense'",
       [] {
         static_cast<void>(Sequential({Input({3}), Dense(1)}).get_layer("z"));
       }},
      {ErrorCode::argument, "starts a graph", [&] { Layer{x}(y); }},
  };
  for (const Refusal& refusal : refusals) expect_error(refusal.code, refusal.words, refusal.make);
}

TEST(BuildersRefusals, ASequentialRefusesWhatWouldMakeItACycleOrChangeAnotherModel) {
  Sequential a({Dense(1)});
  Sequential b({a});
  expect_error(ErrorCode::value, "cannot contain itself", [&] { b.add(b); });
  expect_error(ErrorCode::argument, "is part of another model", [&] { a.add(b); });
  const Dense dense(1);
  expect_error(ErrorCode::value, "is already in the model", [&] { Sequential({dense, dense}); });
}

TEST(BuildersRefusals, FailuresLeaveNothingHalfBuilt) {
  const Dense dense(4);
  const auto x = Input({3});
  const auto y = Input({5});
  expect_error(ErrorCode::shape, "kernel has shape (3, 4), its input needs (5, 4)", [&] {
    Functional({x, y}, {dense(x), dense(y)});
  });
  EXPECT_THROW(static_cast<void>(dense.get_weights()), ArgumentError);

  Sequential net({Input({3}), dense});
  const std::string config = net.get_config();
  const std::vector<Tensor> weights = net.get_weights();
  const Dense last(2);
  expect_error(ErrorCode::shape, "target_shape", [&] { net.add(Sequential({last, Reshape({3})})); });
  expect_error(ErrorCode::value, "may only come first", [&] { net.add(Input({3})); });
  EXPECT_EQ(net.get_config(), config);
  EXPECT_TRUE(same_bits(net.get_weights(), weights));
  EXPECT_THROW(static_cast<void>(last.get_weights()), ArgumentError);
  EXPECT_EQ(net.compile(kCpu).output_shape(), std::vector<std::int64_t>{4});
  net.add(last);
  EXPECT_EQ(net.compile(kCpu).output_shape(), std::vector<std::int64_t>{2});
}

}  // namespace
}  // namespace lamella
