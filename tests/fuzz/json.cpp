// SPDX-License-Identifier: Apache-2.0
// JSON: a document that was read can be written and read again without changes.
#include "keras/json.hpp"

#include "fuzz.hpp"

using namespace lamella;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const keras::Where where("fuzz.json");
  nlohmann::json value;
  if (!fuzz::survives([&] { value = keras::parse_json(fuzz::owned(data, size).bytes, where); })) return 0;
  const std::string text = value.dump();  // NaN becomes null, so compare with the second text, not the first
  const std::string again = keras::parse_json(std::as_bytes(std::span(text)), where).dump();
  fuzz::expect(again == keras::parse_json(std::as_bytes(std::span(again)), where).dump(),
               "JSON that changes when it is written and read");
  return 0;
}
