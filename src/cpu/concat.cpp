// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <numeric>

#include "cpu/plans.hpp"

namespace lamella::cpu {

PlanPtr plan(const ops::ConcatDesc& desc, const ConstantsPtr&, const ops::PlanContext&) {
  std::vector<std::size_t> bytes;
  for (const std::int64_t extent : desc.extents) bytes.push_back(static_cast<std::size_t>(extent) * size_of(desc.dtype));
  const std::size_t row = std::accumulate(bytes.begin(), bytes.end(), std::size_t{0});
  return make_plan([bytes = std::move(bytes), row, outer = static_cast<std::size_t>(desc.outer)](const ops::Args& args) {
    std::size_t at = 0;
    for (std::size_t k = 0; k < bytes.size(); at += bytes[k++]) {
      if (bytes[k] == 0) continue;
      const auto* src = static_cast<const std::byte*>(args.srcs[k]);
      auto* dst = static_cast<std::byte*>(args.dst) + at;
      for (std::size_t o = 0; o < outer; ++o) std::memcpy(dst + o * row, src + o * bytes[k], bytes[k]);
    }
  });
}

}  // namespace lamella::cpu
