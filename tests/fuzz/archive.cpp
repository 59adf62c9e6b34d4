// SPDX-License-Identifier: Apache-2.0
// The zip reader: each member in the directory is read or refused.
#include "keras/zip/archive.hpp"

#include "fuzz.hpp"
#include "keras/zip/crc32.hpp"

using namespace lamella;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::survives([&] {
    const keras::Archive archive(fuzz::owned(data, size), keras::Where("fuzz.zip"));
    for (const std::string& name : archive.names()) {
      fuzz::expect(archive.contains(name), "a listed name that is not contained");
      fuzz::survives([&] {
        const keras::OwnedBytes member = archive.member(name);
        fuzz::expect(keras::crc32(member.bytes) == keras::crc32(archive.member(name).bytes), "a member that changes");
      });
    }
  });
  return 0;
}
