// SPDX-License-Identifier: Apache-2.0
#include "core/npy_rows.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <lamella/error.hpp>

#include "core/check.hpp"
#include "core/npy_head.hpp"

namespace lamella::core {
namespace {

template <typename... Args>
[[noreturn]] void fail_at(ErrorCode code, const std::string& where, FormatString<Args...> message, const Args&... args) {
  throw LoadError(code, escaped(where) + ": " + core::format(message, args...));
}

std::string errno_text() { return std::strerror(errno); }

/// A descriptor that closes itself if owned.
class Descriptor {
 public:
  Descriptor(int number, bool own) : number_(number), own_(own) {}
  ~Descriptor() {
    if (own_ && number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return number_; }
  void open(const std::string& path) { number_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }

 private:
  int number_;
  bool own_;
};

}  // namespace

struct NpyRows::Impl {
  Impl(int number, bool own, std::vector<std::byte> bytes, std::string name)
      : file(number, own), where(std::move(name)), ahead(std::move(bytes)) {}

  void begin();
  std::size_t read(std::byte* to, std::size_t bytes);
  void take(std::byte* to, std::size_t bytes);
  void expect_end();
  Tensor rows(const Shape& shape);

  Descriptor file;
  std::string where;
  std::vector<std::byte> ahead;  ///< read but not yet consumed
  std::size_t taken = 0;         ///< consumed bytes of `ahead`
  std::optional<std::size_t> size;
  NpyHead head;
  std::int64_t row = 0;  ///< the next row
  std::optional<Tensor> whole;
};

/// Reads up to `bytes` bytes, fewer at the end.
std::size_t NpyRows::Impl::read(std::byte* to, std::size_t bytes) {
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::read(file.get(), to + have, bytes - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_at(ErrorCode::io, where, "cannot read: {}", errno_text());
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

void NpyRows::Impl::begin() {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail_at(ErrorCode::io, where, "cannot stat: {}", errno_text());
  if (S_ISREG(status.st_mode)) {
    const off_t at = ::lseek(file.get(), 0, SEEK_CUR);
    const off_t left = std::max<off_t>(status.st_size - std::max<off_t>(at, 0), 0);
    size = ahead.size() + static_cast<std::size_t>(left);
  }
  const std::size_t before = ahead.size();
  const std::size_t wanted = std::max(before, std::min(kLongestNpyHead, size.value_or(kLongestNpyHead)));
  ahead.resize(wanted);
  const std::size_t have = before + read(ahead.data() + before, wanted - before);
  if (size && have < wanted) fail_at(ErrorCode::io, where, "the file shrank while it was read");
  ahead.resize(have);
  head = parse_npy_head(ahead, size, where);
  taken = head.data_at;
}

void NpyRows::Impl::take(std::byte* to, std::size_t bytes) {
  const std::size_t known = std::min(bytes, ahead.size() - taken);
  if (known != 0) std::memcpy(to, ahead.data() + taken, known);
  taken += known;
  if (bytes == known) return;
  if (read(to + known, bytes - known) == bytes - known) return;
  if (size) fail_at(ErrorCode::io, where, "the file shrank while it was read");
  fail_at(ErrorCode::shape, where, "{} of {} needs {} bytes, the data ends too early", to_string(head.shape),
          to_string(head.element.dtype), head.data_bytes);
}

/// A stream must end after its elements.
void NpyRows::Impl::expect_end() {
  if (size) return;
  std::byte next{};
  if (taken == ahead.size() && read(&next, 1) == 0) return;
  fail_at(ErrorCode::shape, where, "{} of {} needs {} bytes, there are more", to_string(head.shape),
          to_string(head.element.dtype), head.data_bytes);
}

Tensor NpyRows::Impl::rows(const Shape& shape) {
  Tensor result(shape, head.element.dtype);
  auto* const data = static_cast<std::byte*>(result.data());
  take(data, result.bytes());
  npy_to_host({data, result.bytes()}, head.element);
  return result;
}

NpyRows::NpyRows(const std::string& path) {
  if (path.find('\0') != std::string::npos) fail_at(ErrorCode::io, path, "the path holds a NUL byte");
  impl_ = std::make_unique<Impl>(-1, true, std::vector<std::byte>{}, path);
  impl_->file.open(path);
  if (impl_->file.get() < 0) fail_at(ErrorCode::io, path, "cannot be opened: {}", errno_text());
  struct stat status {};
  if (::fstat(impl_->file.get(), &status) != 0) fail_at(ErrorCode::io, path, "cannot stat: {}", errno_text());
  if (!S_ISREG(status.st_mode)) fail_at(ErrorCode::io, path, "not a regular file");
  impl_->begin();
}

NpyRows::NpyRows(int descriptor, std::vector<std::byte> ahead, const std::string& name)
    : impl_(std::make_unique<Impl>(descriptor, false, std::move(ahead), name)) {
  impl_->begin();
}

NpyRows::NpyRows(NpyRows&& other) noexcept = default;
NpyRows::~NpyRows() = default;

const Shape& NpyRows::shape() const noexcept { return impl_->head.shape; }
DType NpyRows::dtype() const noexcept { return impl_->head.element.dtype; }

Tensor NpyRows::all() {
  Tensor result = impl_->rows(impl_->head.shape);
  impl_->expect_end();
  impl_->row = impl_->head.shape.rank() == 0 ? 0 : impl_->head.shape[0];
  return impl_->head.fortran_order ? npy_in_c_order(std::move(result)) : std::move(result);
}

Tensor NpyRows::next(std::int64_t most) {
  Impl& impl = *impl_;
  const Shape& shape = impl.head.shape;
  const std::int64_t rows = std::min(most, shape[0] - impl.row);
  const std::int64_t first = impl.row;
  if (!impl.head.fortran_order || shape.rank() == 1) {
    Tensor result = impl.rows(shape.with(0, rows));
    impl.row += rows;
    if (impl.row == shape[0] && rows != 0) impl.expect_end();
    return result;
  }
  if (!impl.whole) impl.whole = all();
  impl.row = first + rows;
  const std::size_t row_bytes = shape[0] == 0 ? 0 : impl.whole->bytes() / static_cast<std::size_t>(shape[0]);
  const auto* const data = static_cast<const std::byte*>(std::as_const(*impl.whole).data());
  const std::byte* const at = data == nullptr ? nullptr : data + static_cast<std::size_t>(first) * row_bytes;
  return Tensor::copy_of(TensorView(at, shape.with(0, rows), impl.head.element.dtype));
}

}  // namespace lamella::core
