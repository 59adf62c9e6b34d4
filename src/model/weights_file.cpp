// SPDX-License-Identifier: Apache-2.0
// Weights from files.
#include <lamella/weights.hpp>

#include <cstring>

#include "core/float_environment.hpp"
#include "keras/arrays.hpp"
#include "keras/load.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

/// Whether a file is an .npz, not a .safetensors file. Throws LoadError if it is neither.
bool is_npz(keras::Bytes head, std::uint64_t size, const keras::Where& where) {
  if (keras::looks_like_npz(head)) return true;
  if (!keras::looks_like_safetensors(head, size))
    where.fail_sentence(ErrorCode::archive, "is neither an .npz nor a .safetensors file ({} bytes)", size);
  return false;
}

keras::Arrays arrays_of(const Model& model, const keras::OwnedBytes& file, const keras::Where& where) {
  keras::Arrays arrays = is_npz(file.bytes, file.bytes.size(), where) ? keras::npz_arrays(file, where)
                                                                      : keras::safetensors_arrays(file.bytes, where);
  return keras::arrays_for(std::move(arrays), model.layers(), where);
}

}  // namespace

std::map<std::string, Tensor> load_weights(const Model& model, const std::string& path) {
  constexpr std::size_t kHead = 4096;
  const keras::Where where(path);
  const keras::FileBytes file(path, [&](const keras::FileBytes::Glance& glance, std::uint64_t size) {
    const std::string head = glance(0, kHead);
    static_cast<void>(is_npz(std::as_bytes(std::span(head)), size, where));
  });
  return arrays_of(model, file.contents(), where);
}

std::map<std::string, Tensor> parse_weights(const Model& model, std::span<const std::byte> file, const std::string& where) {
  return arrays_of(model, {nullptr, file}, keras::Where(where));
}

Model Model::with_weights(const std::string& path) const {
  const core::FloatEnvironment environment;
  const keras::Where where(path);
  keras::FoundWeights found = [&] {
    const auto reading = impl_->reading();
    return keras::load_weights(*impl_->spec, path);
  }();
  if (auto* const spec = std::get_if<std::shared_ptr<const core::ModelSpec>>(&found)) return {*spec, impl_->options};
  const keras::Arrays arrays = keras::arrays_for(std::get<keras::Arrays>(std::move(found)), layers(), where);
  try {
    return with_weights(std::map<std::string, TensorView>(arrays.begin(), arrays.end()));
  } catch (const ArgumentError& error) {
    where.fail(error.code(), "{}", core::without_code(error.what()));
  }
}

}  // namespace lamella
