// SPDX-License-Identifier: Apache-2.0
#include "core/npy.hpp"

#include <cstring>
#include <lamella/npy.hpp>
#include <utility>

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/npy_rows.hpp"
#include "core/output_file.hpp"

namespace lamella {

Tensor parse_npy(std::span<const std::byte> bytes, const std::string& where) {
  const core::NpyHead head = core::parse_npy_head(bytes, bytes.size(), where);
  Tensor result(head.shape, head.element.dtype);
  auto* const data = static_cast<std::byte*>(result.data());
  if (head.data_bytes != 0) std::memcpy(data, bytes.data() + head.data_at, head.data_bytes);
  core::npy_to_host({data, head.data_bytes}, head.element);
  return head.fortran_order ? core::npy_in_c_order(std::move(result)) : std::move(result);
}

Tensor load_npy(const std::string& path) { return core::NpyRows(path).all(); }

void save_npy(const std::string& path, const TensorView& tensor) {
  LAMELLA_EXPECTS(core::is_host(tensor.device()), device,
                  "[save_npy] the elements are on {}; Tensor::to(Device::cpu()) copies them to the host",
                  to_string(tensor.device()));
  if (tensor.dtype() == DType::bfloat16) return save_npy(path, Tensor::copy_of(tensor).to(DType::float32));
  if (path.find('\0') != std::string::npos)
    throw LoadError(ErrorCode::io, core::format("{}: the path holds a NUL byte", core::escaped(path)));
  const std::string header = core::npy_header(tensor);
  core::OutputFile file(path);
  file.write(header.data(), header.size());
  file.write(tensor.data(), tensor.bytes());
  file.finish();
}

}  // namespace lamella
