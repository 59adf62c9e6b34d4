// SPDX-License-Identifier: Apache-2.0
#include <lamella/npy.hpp>

#include "core/backend.hpp"
#include "core/npy.hpp"
#include "keras/arrays.hpp"
#include "keras/zip/archive.hpp"
#include "keras/zip/writer.hpp"

namespace lamella {
namespace {

constexpr std::string_view kEnding = ".npy";

/// The name of the first member of a zip archive; empty if `head` does not reach that far.
std::string_view first_member(std::string_view head) {
  constexpr std::size_t kHeader = 30;
  if (head.size() < kHeader) return {};
  const std::size_t length = static_cast<unsigned char>(head[26]) | static_cast<unsigned>(static_cast<unsigned char>(head[27]))
                                                                        << 8U;
  return head.size() - kHeader < length ? std::string_view() : head.substr(kHeader, length);
}

}  // namespace

bool keras::looks_like_npz(Bytes head) noexcept {
  return Archive::looks_like(head) && first_member(as_text(head)).ends_with(kEnding);
}

keras::Arrays keras::npz_arrays(const OwnedBytes& file, const Where& where) {
  const Archive archive(file, where);
  Arrays arrays;
  for (const std::string& member : archive.names()) {
    const Where place = where.member(member);
    if (!member.ends_with(kEnding)) place.fail(ErrorCode::value, "not an npy file; an npz archive has nothing else");
    arrays.emplace(member.substr(0, member.size() - kEnding.size()), parse_npy(archive.member(member).bytes, place.text()));
  }
  return arrays;
}

std::map<std::string, Tensor> load_npz(const std::string& path) {
  return keras::npz_arrays(keras::FileBytes(path).contents(), keras::Where(path));
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
