// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

/// Who knows of what: vector clocks, one lane for each stream.
namespace fake_cuda::inside {

using Clock = std::vector<std::uint64_t>;  ///< by lane; a missing lane is 0
void join(Clock& into, const Clock& other);

/// Stands for an enqueued op.
struct Token {
  bool done = false;
  std::uint64_t when = 0;  ///< it was done, in ops executed
  Clock clock;             ///< all that happens before its end
};
using TokenPtr = std::shared_ptr<Token>;

/// One piece of work in time: the `tick`-th of its lane, knowing `clock`.
struct Stamp {
  int lane = -1;
  std::uint64_t tick = 0;
  std::string what;  ///< "cudaMemcpyAsync on stream 3"
};
bool knows(const Clock& clock, const Stamp& earlier);

/// Who has used an allocation. All uses must be ordered where one of them writes.
class History {
 public:
  /// Adds a use; empty, or the sentence that says what it is unordered with.
  std::string add(const Stamp& stamp, const Clock& clock, bool write);
  /// Whether `clock` knows of all uses; if not, the sentence.
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
