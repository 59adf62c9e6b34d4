// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ptx {

/// The time of an access, counted in barriers: accesses of two threads are ordered by a barrier of the block between them or,
/// within a warp, by one of the warp, or by one of the cluster: the first arrived there afterwards, the second has waited there.
struct Moment {
  unsigned thread = 0;
  std::uint32_t block_epoch = 1;  ///< 1 plus the barriers so far, of this block and those before it
  std::uint32_t warp_epoch = 1;   ///< the same for the warp
  unsigned rank = 0;              ///< of the block in its cluster
  std::uint32_t arrived = 0;      ///< how often the thread has arrived at a barrier of the cluster,
  std::uint32_t waited = 0;       ///< and has waited there
};

/// The shared memory of a block, and the last writer and readers of each byte.
class SharedMemory {
 public:
  /// Starts a block whose epochs begin at `epoch`; `clustered`: its kernel has barriers of the cluster.
  void reset(std::size_t bytes, std::uint32_t epoch, bool clustered);
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  unsigned char* at(std::size_t offset) { return bytes_.data() + offset; }

  enum class Verdict { fine, undefined, in_flight, race };
  [[nodiscard]] Verdict read(std::size_t offset, std::size_t bytes, const Moment& now) { return use(offset, bytes, now, false); }
  [[nodiscard]] Verdict write(std::size_t offset, std::size_t bytes, const Moment& now) { return use(offset, bytes, now, true); }
  /// From now on an asynchronous copy may write there, until it arrives.
  void begin_copy(std::size_t offset, std::size_t bytes);
  void arrive(std::size_t offset, std::span<const unsigned char> data, const Moment& now);
  /// The other thread of the last race.
  [[nodiscard]] unsigned other() const { return other_; }

 private:
  static constexpr std::uint32_t kInFlight = 0xFFFF'FFFF;
  struct Use {
    std::uint32_t block_epoch = 0;  ///< of an earlier block: not used yet; kInFlight: written by an asynchronous copy
    std::uint32_t warp_epoch : 20 = 0;
    std::uint32_t thread : 10 = 0;
    std::uint32_t threads : 2 = 0;  ///< 1: that thread; 2: also others of its warp; 3: also other warps
    friend bool operator==(const Use&, const Use&) = default;
  };
  struct Byte {
    Use write;
    Use read;
    friend bool operator==(const Byte&, const Byte&) = default;
  };
  /// What else is known of a use where there are clusters.
  struct Mark {
    std::uint32_t arrived : 24 = 0;
    std::uint32_t rank : 7 = 0;
    std::uint32_t blocks : 1 = 0;  ///< other blocks too
  };
  struct Marks {
    Mark write;
    Mark read;
  };
  Verdict use(Byte& byte, const Moment& now, bool write);
  Verdict use_in_cluster(std::size_t at, const Moment& now, bool write);
  [[nodiscard]] bool conflicts_in_cluster(const Use& use, const Mark& mark, const Moment& now);
  void note_in_cluster(Use& use, Mark& mark, const Moment& now, bool joins) const;
  Verdict use(std::size_t offset, std::size_t bytes, const Moment& now, bool write);
  [[nodiscard]] bool conflicts(const Use& use, const Moment& now);
  static void note(Use& use, const Moment& now, bool joins);

  std::vector<unsigned char> bytes_;
  std::vector<Byte> uses_;
  std::vector<Marks> marks_;  ///< empty if nothing is clustered
  std::uint32_t first_epoch_ = 1;
  unsigned other_ = 0;
  std::size_t in_flight_ = 0;  ///< bytes
};

}  // namespace ptx
