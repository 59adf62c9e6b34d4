// SPDX-License-Identifier: Apache-2.0
#include "cpu/plans.hpp"

#include <utility>

#include "core/backend.hpp"

namespace lamella::cpu {

ops::Packed packed_on_host(const ops::Constants& constants, std::size_t bytes,
                           std::function<void(const ops::Constants&, void*)> fill) {
  const auto memory = core::allocate_host(bytes);
  fill(constants, memory.get());
  constants.note_packed(bytes);
  auto renew = [memory, bytes, fill = std::move(fill)](const ConstantsPtr& other) -> ops::Writes {
    const auto made = core::allocate_host(bytes);
    fill(*other, made.get());
    return {{memory, made, bytes}};
  };
  return {memory, std::move(renew)};
}

template <typename C>
std::shared_ptr<const C> constant_as(const ConstantsPtr& constants, std::size_t i, DType rounded_to) {
  const Tensor& value = (*constants)[i];
  if (value.dtype() == dtype_v<C> && rounded_to == dtype_v<C>) return {constants, static_cast<const C*>(value.data())};
  const auto n = static_cast<std::size_t>(value.shape().elements());
  const auto fill = [i, rounded_to, n](const ops::Constants& of, void* memory) {
    C* to = static_cast<C*>(memory);
    visit_floating(rounded_to, [&](auto rounded) {
      using R = decltype(rounded);
      visit_floating(of[i].dtype(), [&](auto stored) {
        using S = decltype(stored);
        const S* from = static_cast<const S*>(of[i].data());
        for (std::size_t k = 0; k < n; ++k) to[k] = convert<C>(convert<R>(from[k]));
      });
    });
  };
  const auto make = [&] { return packed_on_host(*constants, n * sizeof(C), fill); };
  const ops::Form form{.constant = i, .rounded_to = rounded_to, .as = dtype_v<C>};
  return std::static_pointer_cast<const C>(constants->derived(form, make));
}

template std::shared_ptr<const float> constant_as<float>(const ConstantsPtr&, std::size_t, DType);
template std::shared_ptr<const double> constant_as<double>(const ConstantsPtr&, std::size_t, DType);

}  // namespace lamella::cpu
