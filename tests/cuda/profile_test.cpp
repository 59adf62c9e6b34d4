// SPDX-License-Identifier: Apache-2.0
// The NVTX ranges that a profiler sees. This program itself is NVTX's injection library, linked in statically.
#include <nvtx3/nvToolsExt.h>

#include <mutex>

#include "cuda/cuda_support.hpp"

namespace {

std::mutex mutex;
std::vector<std::string> seen;  ///< the name of each range that begins, "end" for each that ends

int NVTX_API push(const char* name) {
  const std::lock_guard lock(mutex);
  seen.emplace_back(name);
  return 0;
}
int NVTX_API pop() {
  const std::lock_guard lock(mutex);
  seen.emplace_back("end");
  return 0;
}

int NVTX_API inject(NvtxGetExportTableFunc_t table_of) {
  const auto* const callbacks = static_cast<const NvtxExportTableCallbacks*>(table_of(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions = nullptr;
  unsigned size = 0;
  if (callbacks == nullptr || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &size) == 0) return 0;
  *functions[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
  *functions[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}

const bool injected = (InitializeInjectionNvtx2_fnptr = inject, true);  // before the first range

}  // namespace

namespace lamella::test {
namespace {

std::vector<std::string> ranges_of(const Model& model, std::int64_t rows, std::int64_t width) {
  seen.clear();
  static_cast<void>(model.predict(random_rows(rows, width)));
  return seen;
}

class ProfileTest : public CudaTest {};

TEST_F(ProfileTest, HasARangeForEachStep) {
  Options options = on_cuda();
  options.profile = true;
  const Model model = Model::load(LAMELLA_FIXTURES "/keras3/sequential_in_functional/model.keras", options);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(ranges_of(model, 7, 6), testing::ElementsAre("dense_3 + block/dense_1", "end", "block/batch_normalization", "end",
                                                             "block/dense_2 + dense", "end"));
  }
  const Model fused = Model::load(LAMELLA_FIXTURES "/keras3/zip_reordered/model.keras", options);
  EXPECT_EQ(ranges_of(fused, 3, 7).front(), "first + batch_normalization");
}

TEST_F(ProfileTest, IsSilentUnlessRequested) {
  const Model model = Model::load(LAMELLA_FIXTURES "/keras3/sequential_in_functional/model.keras", on_cuda());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(ranges_of(model, 7, 6), testing::IsEmpty());
}

/// More rows than max_batch: the same ranges for each part.
TEST_F(ProfileTest, HasTheRangesOfEveryPart) {
  Options options = on_cuda();
  options.profile = true;
  options.max_batch = 4;
  const Model model = model_of(small_spec(), options);
  const auto one = ranges_of(model, 4, 7);
  EXPECT_EQ(std::count(one.begin(), one.end(), "end"), static_cast<std::ptrdiff_t>(one.size() / 2));
  EXPECT_EQ(ranges_of(model, 12, 7).size(), 3 * one.size());
}

}  // namespace
}  // namespace lamella::test
