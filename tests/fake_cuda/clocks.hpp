// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

/// Vector clocks, one lane per stream: which work happens before which.
namespace fake_cuda::inside {

using Clock = std::vector<std::uint64_t>;  ///< by lane; a missing lane is 0
void join(Clock& into, const Clock& other);

/// Identifies an enqueued op.
struct Token {
  bool done = false;
  std::uint64_t when = 0;  ///< when it was done, counted in executed ops
  Clock clock;             ///< everything that happens before its end
};
using TokenPtr = std::shared_ptr<Token>;

/// A piece of work as an event: the `tick`-th of its lane; it happens after all of `clock`.
struct Stamp {
  int lane = -1;
  std::uint64_t tick = 0;
  std::string what;  ///< "cudaMemcpyAsync on stream 3"
};
bool knows(const Clock& clock, const Stamp& earlier);

/// The uses of an allocation. Uses must be ordered if one of them writes.
class History {
 public:
  /// Adds a use. Returns a sentence that says with what it is unordered, or an empty string.
  std::string add(const Stamp& stamp, const Clock& clock, bool write);
  /// Checks that all uses happen before `clock`; if not, returns the sentence.
  std::string unknown_to(const Clock& clock) const;

 private:
  Stamp write_;
  std::map<int, Stamp> reads_;  ///< the latest of each lane
};

enum class How { read, write };

struct Allocation;
using AllocationPtr = std::shared_ptr<Allocation>;
struct Use {
  AllocationPtr allocation;
  How how = How::read;
};

}  // namespace fake_cuda::inside
