// SPDX-License-Identifier: Apache-2.0
#include <lamella/npy.hpp>

#include "core/backend.hpp"
#include "core/npy.hpp"
#include "keras/zip/archive.hpp"
#include "keras/zip/writer.hpp"

namespace lamella {
namespace {

constexpr std::string_view kEnding = ".npy";

}  // namespace

std::map<std::string, Tensor> load_npz(const std::string& path) {
  const keras::Where where(path);
  const keras::Archive archive(keras::FileBytes(path).contents(), where);
  std::map<std::string, Tensor> arrays;
  for (const std::string& member : archive.names()) {
    const keras::Where place = where.member(member);
    if (!member.ends_with(kEnding)) place.fail(ErrorCode::value, "not an npy file; an npz archive has nothing else");
    arrays.emplace(member.substr(0, member.size() - kEnding.size()), parse_npy(archive.member(member).bytes, place.text()));
  }
  return arrays;
}

void save_npz(const std::string& path, const std::map<std::string, TensorView>& arrays) {
  for (const auto& [name, array] : arrays) {
    const auto bad = keras::bad_name(name + std::string(kEnding));
    LAMELLA_EXPECTS(!bad, value, "[save_npz] array '{}': the name {}", core::escaped(name), bad->why);
    LAMELLA_EXPECTS(core::is_host(array.device()), device,
                    "[save_npz] the elements of '{}' are on {}; Tensor::to(Device::cpu()) copies them to the host",
                    core::escaped(name), to_string(array.device()));
  }
  keras::ArchiveWriter archive(path);
  for (const auto& [name, array] : arrays) {
    const Tensor wide = array.dtype() == DType::bfloat16 ? Tensor::copy_of(array).to(DType::float32) : Tensor();
    const TensorView view = array.dtype() == DType::bfloat16 ? TensorView(wide) : array;
    const std::string header = core::npy_header(view);
    const keras::Bytes parts[] = {std::as_bytes(std::span(header)), {static_cast<const std::byte*>(view.data()), view.bytes()}};
    archive.add(name + std::string(kEnding), parts);
  }
  archive.finish();
}

}  // namespace lamella
