// SPDX-License-Identifier: Apache-2.0
// Preloaded between the bench and liblamella (LD_PRELOAD): with LAMELLA_PLANT=slow each call of a model becomes several, with
// LAMELLA_PLANT=wrong one element of each answer is wrong.
#include <dlfcn.h>

#include <cstdlib>
#include <lamella/model.hpp>
#include <string_view>

namespace lamella {

void Model::predict_into(const TensorView& src, const MutableTensorView& dst) const {
  using Function = void (*)(const Model*, const TensorView&, const MutableTensorView&);
  constexpr const char* kName = "_ZNK7lamella5Model12predict_intoERKNS_10TensorViewERKNS_17MutableTensorViewE";
  static const auto original = reinterpret_cast<Function>(dlsym(RTLD_NEXT, kName));
  static const char* const text = std::getenv("LAMELLA_PLANT");
  static const std::string_view plant = text == nullptr ? "" : text;
  original(this, src, dst);
  if (plant == "slow") {
    for (int i = 0; i < 4; ++i) original(this, src, dst);
  }
  if (plant == "wrong") dst.span<float>().back() += 0.01F;
}

}  // namespace lamella
