// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ptx {

/// When a thread does something, in terms of what orders it: two accesses of two threads are ordered by a barrier of the block
/// between them, or, within a warp, by one of the warp.
struct Moment {
  unsigned thread = 0;
  std::uint32_t block_epoch = 1;  ///< barriers of the block and of those before it so far, and 1
  std::uint32_t warp_epoch = 1;   ///< of the warp
};

/// The shared memory of a block, and for each byte who wrote and read it last.
class SharedMemory {
 public:
  /// For a block whose epochs begin with that.
  void reset(std::size_t bytes, std::uint32_t epoch);
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  unsigned char* at(std::size_t offset) { return bytes_.data() + offset; }

  enum class Verdict { fine, undefined, in_flight, race };
  [[nodiscard]] Verdict read(std::size_t offset, std::size_t bytes, const Moment& now) { return use(offset, bytes, now, false); }
  [[nodiscard]] Verdict write(std::size_t offset, std::size_t bytes, const Moment& now) { return use(offset, bytes, now, true); }
  /// An asynchronous copy may write there from now on, until it arrives.
  void begin_copy(std::size_t offset, std::size_t bytes);
  void arrive(std::size_t offset, std::span<const unsigned char> data, const Moment& now);
  /// The thread that the last race was with.
  [[nodiscard]] unsigned other() const { return other_; }

 private:
  static constexpr std::uint32_t kInFlight = 0xFFFF'FFFF;
  struct Use {
    std::uint32_t block_epoch = 0;  ///< of another block: not yet; kInFlight: an asynchronous copy's
    std::uint32_t warp_epoch : 20 = 0;
    std::uint32_t thread : 10 = 0;
    std::uint32_t threads : 2 = 0;  ///< 1: that thread; 2: others of its warp too; 3: of other warps too
    friend bool operator==(const Use&, const Use&) = default;
  };
  struct Byte {
    Use write;
    Use read;
    friend bool operator==(const Byte&, const Byte&) = default;
  };
  Verdict use(Byte& byte, const Moment& now, bool write);
  Verdict use(std::size_t offset, std::size_t bytes, const Moment& now, bool write);
  [[nodiscard]] bool conflicts(const Use& use, const Moment& now);
  static void note(Use& use, const Moment& now, bool joins);

  std::vector<unsigned char> bytes_;
  std::vector<Byte> uses_;
  std::uint32_t first_epoch_ = 1;
  unsigned other_ = 0;
  std::size_t in_flight_ = 0;  ///< bytes
};

}  // namespace ptx
