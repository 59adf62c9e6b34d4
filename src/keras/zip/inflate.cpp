// SPDX-License-Identifier: Apache-2.0
#include "keras/zip/inflate.hpp"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <new>

namespace lamella::keras {

namespace {

constexpr std::size_t kPiece = std::size_t{1} << 30U;  // zlib counts in 32 bits

}  // namespace

std::size_t inflate_into(Bytes packed, std::span<std::byte> out, Wrapping wrapping, ErrorCode code, std::string_view where) {
  z_stream stream{};
  if (::inflateInit2(&stream, wrapping == Wrapping::zlib ? MAX_WBITS : -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, &::inflateEnd);

  std::size_t consumed = 0;
  std::size_t produced = 0;
  Bytef none = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    const std::size_t in = std::min(packed.size() - consumed, kPiece);
    const std::size_t room = std::min(out.size() - produced, kPiece);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + consumed));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = room == 0 ? &none : reinterpret_cast<Bytef*>(out.data() + produced);
    stream.avail_out = static_cast<uInt>(room);
    status = ::inflate(&stream, Z_NO_FLUSH);
    consumed += in - stream.avail_in;
    produced += room - stream.avail_out;
  }
  if (status == Z_MEM_ERROR) throw std::bad_alloc();
  if (status == Z_BUF_ERROR && consumed < packed.size())
    fail(code, where, "the deflate stream unpacks to more than {} bytes", out.size());
  if (status == Z_BUF_ERROR) fail(code, where, "the deflate stream ends early, after {} of {} bytes", produced, out.size());
  if (status != Z_STREAM_END) fail(code, where, "the deflate stream is damaged near byte {}", consumed);
  if (consumed != packed.size()) fail(code, where, "{} bytes follow the end of the deflate stream", packed.size() - consumed);
  return produced;
}

}  // namespace lamella::keras
