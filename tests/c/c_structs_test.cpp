// SPDX-License-Identifier: Apache-2.0
// The structs of lamella.h where the program was compiled with a newer or an older header than the library.
#include "c/c_api_support.hpp"
#include "c/structs.hpp"

#include <array>
#include <lamella/model.hpp>

namespace lamella {
namespace test {
namespace {

/// A struct as an older program has it, and as a library knows it that has added fields.
struct Old {
  std::size_t struct_size;
  std::int64_t first;
};
struct Grown {
  std::size_t struct_size;
  std::int64_t first;
  std::int64_t added;
  const char* text;
};

}  // namespace
}  // namespace test

template <>
inline constexpr std::size_t c::kFirstSize<test::Grown> = sizeof(test::Old);

namespace {

using namespace test;

constexpr const char* kF = "lamella_f";
constexpr c::Where kHere{kF, "what"};

/// A tensor of a program whose header has more fields.
struct NewerTensor {
  lamella_tensor known{};
  std::array<unsigned char, 24> more{};

  explicit NewerTensor(const Described& of) : known(of.tensor) {
    known.struct_size = sizeof(NewerTensor);
    more.fill(0xA5);
  }
};

/// Calls f() and returns the message of the ArgumentError that it throws.
template <typename F>
std::string refusal(const F& f) {
  try {
    f();
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::argument);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(CStructsTest, OldestSizesAreThoseOfTheFirstVersion) {
  if (sizeof(void*) != 8) GTEST_SKIP() << "the numbers are those of 64-bit programs";
  EXPECT_EQ(c::kFirstSize<lamella_tensor>, 48U);
  EXPECT_EQ(c::kFirstSize<lamella_stats>, 48U);
}

TEST(CStructsTest, AGrownLibraryReadsAnOlderProgramsArrays) {
  const std::vector<Old> old{{sizeof(Old), 11}, {sizeof(Old), 22}};
  const auto* const first = reinterpret_cast<const Grown*>(old.data());
  for (std::size_t i = 0; i < old.size(); ++i) {
    const Grown read = c::read_struct(first, i, kHere);
    EXPECT_EQ(read.first, old[i].first);
    EXPECT_EQ(read.added, 0) << "a field that the program does not have";
    EXPECT_EQ(read.text, nullptr);
  }
}

TEST(CStructsTest, AGrownLibraryWritesAnOlderProgramsStructAndNothingPastIt) {
  std::vector<Old> old{{sizeof(Old), 0}, {77, 78}};
  c::write_struct(Grown{0, 11, 12, kF}, reinterpret_cast<Grown*>(old.data()), kHere);
  EXPECT_EQ(old[0].struct_size, sizeof(Old));
  EXPECT_EQ(old[0].first, 11);
  EXPECT_EQ(old[1].struct_size, 77U);
  EXPECT_EQ(old[1].first, 78);
}

TEST(CStructsTest, SizesThatNoVersionHadAreRefused) {
  std::vector<Old> old{{sizeof(Old) - 1, 0}, {sizeof(Old), 0}};
  auto* const first = reinterpret_cast<Grown*>(old.data());
  const std::string less = "[lamella_f] what: struct_size: got 15, allowed 16.. [E_ARGUMENT]";
  EXPECT_EQ(refusal([&] { c::read_struct(first, 0, kHere); }), less);
  EXPECT_EQ(refusal([&] { c::write_struct(Grown{}, first, kHere); }), less);
  old[0].struct_size = sizeof(Old);
  old[1].struct_size = sizeof(Old) + 8;
  EXPECT_EQ(refusal([&] { c::read_struct(first, 1, kHere); }),
            "[lamella_f] what: struct_size: got 24, allowed 16, as in the first element of the array [E_ARGUMENT]");
}

TEST(CStructsTest, ANewerProgramsArraysAreReadAndWritten) {
  const ModelHandle model = loaded("graph");
  TwoByTwo graph;
  std::vector<NewerTensor> inputs{NewerTensor(graph.in_a), NewerTensor(graph.in_b)};
  const std::vector<NewerTensor> outputs{NewerTensor(graph.out_y), NewerTensor(graph.out_z)};
  const auto predict = [&] { return lamella_model_predict(model.get(), &inputs[0].known, 2, &outputs[0].known, 2); };
  ok(predict());
  EXPECT_TRUE(same_bits(graph.y, graph.wanted[0]));
  EXPECT_TRUE(same_bits(graph.z, graph.wanted[1]));
  lamella_results* results = nullptr;
  ok(lamella_model_predict_new(model.get(), &inputs[0].known, 2, &results));
  NewerTensor last(graph.out_z);
  ok(lamella_results_get(results, 1, &last.known));
  EXPECT_EQ(last.known.struct_size, sizeof(NewerTensor));
  EXPECT_EQ(std::memcmp(last.known.data, graph.wanted[1].data(), graph.wanted[1].bytes()), 0);
  EXPECT_EQ(last.more, outputs[1].more) << "written past the fields that the library knows";
  lamella_results_free(results);
  inputs[1].known.struct_size = sizeof(lamella_tensor);
  refused(predict(), "E_ARGUMENT", "input 'b': struct_size: got 48, allowed 72, as in the first element of the array");
  refused(lamella_model_predict_new(model.get(), &inputs[0].known, 2, &results), "E_ARGUMENT", "input 'b': struct_size: got 48");
}

TEST(CStructsTest, ANewerProgramUpdatesWeights) {
  const ModelHandle model = loaded("dense", "cpu", "true");
  const Model cpp = Model::load(kFixtures + "dense/model.keras", {.device = Device::cpu()});
  Tensor kernel = Tensor::copy_of(cpp.get_layer("dense").weights[0].second);
  Tensor bias = Tensor::zeros({kernel.shape()[1]});
  const Described new_kernel(kernel);
  const Described new_bias(bias);
  const char* const names[] = {"dense/kernel", "dense/bias"};
  std::vector<NewerTensor> values{NewerTensor(new_kernel), NewerTensor(new_bias)};
  ok(lamella_model_update_weights(model.get(), names, &values[0].known, 2));
  values[1].known.struct_size += 8;
  refused(lamella_model_update_weights(model.get(), names, &values[0].known, 2), "E_ARGUMENT",
          "weight 'dense/bias': struct_size: got 80, allowed 72");
  values[0].known.struct_size = c::kFirstSize<lamella_tensor> - 1;
  refused(lamella_model_update_weights(model.get(), names, &values[0].known, 2), "E_ARGUMENT",
          "struct_size: got 47, allowed 48..");
}

TEST(CStructsTest, ANewerProgramsStructsAreFilledUpToTheFieldsThatAreKnown) {
  const ModelHandle model = loaded("dense");
  Tensor any(Shape{1});
  const Described described(any);
  NewerTensor what(described);
  const auto more = what.more;
  ok(lamella_model_input(model.get(), 0, &what.known));
  EXPECT_EQ(what.known.struct_size, sizeof(NewerTensor));
  EXPECT_EQ(what.known.ndim, 2);
  EXPECT_EQ(what.more, more);
  ok(lamella_model_prepare(model.get(), std::array<std::int64_t, 1>{4}.data(), 1));
  struct {
    lamella_stats known;
    std::int64_t more;
  } stats{{sizeof stats, -1, -1, -1, -1, -1, -1}, 99};
  ok(lamella_model_stats(model.get(), &stats.known));
  EXPECT_EQ(stats.known.struct_size, sizeof stats);
  EXPECT_EQ(stats.known.programs, 1);
  EXPECT_EQ(stats.known.graphs, 0);
  EXPECT_GT(stats.known.preparing_seconds, 0);
  EXPECT_EQ(stats.more, 99);
  stats.known.struct_size = c::kFirstSize<lamella_stats>;
  stats.known.preparing_seconds = -1;
  ok(lamella_model_stats(model.get(), &stats.known));
  EXPECT_EQ(stats.known.programs, 1);
  EXPECT_EQ(stats.known.preparing_seconds, -1);  // a field that version 0.1 did not have is not written
  stats.known.struct_size = c::kFirstSize<lamella_stats> - 1;
  refused(lamella_model_stats(model.get(), &stats.known), "E_ARGUMENT", "stats: struct_size: got 47, allowed 48..");
  what.known.struct_size = c::kFirstSize<lamella_tensor> - 1;
  refused(lamella_model_output(model.get(), 0, &what.known), "E_ARGUMENT", "what: struct_size: got 47, allowed 48..");
}

}  // namespace
}  // namespace lamella
