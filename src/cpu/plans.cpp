// SPDX-License-Identifier: Apache-2.0
#include "cpu/plans.hpp"

#include "core/backend.hpp"

namespace lamella::cpu {

std::shared_ptr<void> packed_memory(const ops::Constants& constants, std::size_t bytes) {
  auto memory = core::allocate_host(bytes);
  constants.note_packed(bytes);
  return memory;
}

template <typename C>
std::shared_ptr<const C> constant_as(const ConstantsPtr& constants, std::size_t i, DType rounded_to) {
  const Tensor& value = (*constants)[i];
  if (value.dtype() == dtype_v<C> && rounded_to == dtype_v<C>) return {constants, static_cast<const C*>(value.data())};
  const auto make = [&]() -> std::shared_ptr<const void> {
    const auto n = static_cast<std::size_t>(value.shape().elements());
    const auto memory = packed_memory(*constants, n * sizeof(C));
    C* to = static_cast<C*>(memory.get());
    visit_floating(rounded_to, [&](auto rounded) {
      using R = decltype(rounded);
      visit_floating(value.dtype(), [&](auto stored) {
        using S = decltype(stored);
        const S* from = static_cast<const S*>(value.data());
        for (std::size_t k = 0; k < n; ++k) to[k] = convert<C>(convert<R>(from[k]));
      });
    });
    return memory;
  };
  const ops::Form form{.constant = i, .rounded_to = rounded_to, .as = dtype_v<C>};
  return std::static_pointer_cast<const C>(constants->derived(form, make));
}

template std::shared_ptr<const float> constant_as<float>(const ConstantsPtr&, std::size_t, DType);
template std::shared_ptr<const double> constant_as<double>(const ConstantsPtr&, std::size_t, DType);

}  // namespace lamella::cpu
