// SPDX-License-Identifier: Apache-2.0
// .safetensors: the arrays of a file are no larger than it, and no two share bytes.
#include "keras/arrays.hpp"

#include "fuzz.hpp"

using namespace lamella;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const keras::OwnedBytes file = fuzz::owned(data, size);
  const bool looks = keras::looks_like_safetensors(file.bytes, size);
  fuzz::survives([&] {
    std::size_t bytes = 0;
    for (const auto& [name, array] : keras::safetensors_arrays(file.bytes, keras::Where("fuzz.safetensors")))
      bytes += array.bytes();
    fuzz::expect(bytes + 8 <= size, "more elements than the file holds");
    fuzz::expect(looks || file.bytes[8] != std::byte{'{'}, "a file that was read but is not recognised");
  });
  return 0;
}
