// SPDX-License-Identifier: Apache-2.0
// npy: a tensor that was read can be written, and reading that file gives the same tensor.
#include <unistd.h>
#include <lamella/npy.hpp>

#include "fuzz.hpp"

using namespace lamella;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Tensor tensor;
  const keras::OwnedBytes bytes = fuzz::owned(data, size);
  if (!fuzz::survives([&] { tensor = parse_npy(bytes.bytes, "fuzz.npy"); })) return 0;
  fuzz::expect(tensor.bytes() <= 4 * size, "a tensor far larger than its file");
  if (size % 64 != 0) return 0;  // writing is slow and not the target, so few inputs are written
  static const std::string path = "/dev/shm/lamella_fuzz_" + std::to_string(::getpid()) + ".npy";  // jobs run side by side
  save_npy(path, tensor);
  const Tensor again = load_npy(path);
  fuzz::expect(again.shape() == tensor.shape() && again.dtype() == tensor.dtype(),
               "an array that changes when it is written and read");
  fuzz::expect(tensor.bytes() == 0 || std::memcmp(std::as_const(again).data(), std::as_const(tensor).data(), tensor.bytes()) == 0,
               "elements that change");
  return 0;
}
