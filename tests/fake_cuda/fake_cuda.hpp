// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <cuda_runtime_api.h>
#include <library_types.h>

/// A test double of the CUDA runtime, cuBLASLt and cuDNN, linked in their place; this is how a test drives it.
///
/// What it does unlike a polite simulator:
/// - Kernels are what nvcc compiled: tests/ptx executes their PTX. What it finds is recorded as a misuse, and the device is lost.
/// - Device memory is PROT_NONE for the host: code that dereferences a device pointer outside device work dies by SIGSEGV.
/// - New and freed memory is 0xFF (NaN in every floating type). 256 bytes on both sides of an allocation are checked when it is
///   freed; freeing without having waited for the users of the memory is a misuse.
/// - Nothing runs when it is enqueued. Work runs at synchronisation points, in an order that a seeded scheduler draws from all
///   legal ones. Pinned host memory is read and written when the copy runs; pageable sources are read at enqueue; a copy to
///   pageable memory waits.
/// - Vector clocks follow streams, events and the host, so a missing wait is reported even when the values came out right. They
///   are kept by allocation: streams that write different parts of one allocation race.
/// - Rules of CUDA that a program can break without a crash are recorded as misuses, one sentence each.
///
/// - Handles of streams come again at once, also while work of the stream before runs; their ids do not.
///
/// What is not modelled: memory nodes in graphs (cudaMallocAsync in a capture is refused), graphs in
/// graphs, peer access, textures.
namespace fake_cuda {

struct Options {
  unsigned seed = 0;   ///< of the scheduler
  bool eager = false;  ///< run work when it is enqueued, as far as it is ordered
  int devices = 1;
  std::size_t memory = std::size_t{256} << 20;  ///< bytes of each device; at most 8 GiB
  int compute_capability = 90;
  int driver_version = 13000;              ///< what cudaDriverGetVersion says; 0: no driver
  cudaError_t driver_error = cudaSuccess;  ///< what initialisation answers: 35, 100, 803, 804, 999, ...
  bool pools = true;                       ///< devices have memory pools
  std::vector<int> no_image = {};          ///< devices for which nothing was compiled

  // What real libraries do by reports, or may do by their documentation; of each the types in which they do.
  std::vector<cudaDataType> relu_drops_nan = {};  ///< cuBLASLt's RELU makes 0 of NaN
  std::vector<cudaDataType> inexact_gelu = {};    ///< cuBLASLt's GELU is of tanh.approx
  std::vector<cudaDataType> inexact_tanh = {};    ///< cuDNN's tanh is
  bool order_by_batch = false;                    ///< which algorithm comes first, so the order of sums, depends on n
  bool no_unaligned = false;                      ///< no algorithm takes pointers that are not aligned to 16 bytes
  int heuristics_in_captures =
      0;  ///< a cublasStatus_t: what cuBLASLt's heuristics answer while a stream of the device is captured
};

/// The options that the variable LAMELLA_FAKE_CUDA asks for: "strict" is all of the above that changes results or refuses.
[[nodiscard]] Options options_of_environment();

/// A new world: no objects, no memory, no misuses, no faults, call counts at 0. Handles and pointers of the old world are gone.
/// Call it first in every test; nothing else may be running. A forked child has no CUDA until it calls this, so death tests whose
/// statement calls CUDA need the "threadsafe" style.
void reset(const Options& options = {});

// ---- what went wrong ----

/// Runs all pending work (without telling the host that it has run), then gives the misuses of this world, in order.
/// A test ends with EXPECT_THAT(fake_cuda::misuses(), IsEmpty()).
[[nodiscard]] std::vector<std::string> misuses();
/// The same, and forgets them.
[[nodiscard]] std::vector<std::string> take_misuses();
/// Records a misuse; for other parts of the double.
void misuse(const std::string& what);

// ---- what is alive ----

struct Live {
  int streams = 0;
  int events = 0;
  int graphs = 0;
  int execs = 0;        ///< instantiated graphs
  int pools = 0;        ///< made by cudaMemPoolCreate
  int handles = 0;      ///< of cuBLASLt and cuDNN
  int descriptors = 0;  ///< of cuBLASLt and cuDNN
  int device_allocations = 0;
  std::size_t device_bytes = 0;
  int pinned_allocations = 0;
  std::size_t pinned_bytes = 0;
  friend bool operator==(const Live&, const Live&) = default;
};
/// Runs all pending work first, so that memory freed in stream order is counted as free. `live() == Live{}`: no leak.
[[nodiscard]] Live live();

// ---- what was called ----

/// Calls counted so far: every function of the double but names, strings, versions, cuCtxGetCurrent and
/// cudaGetLastError/cudaPeekAtLastError.
/// A launch counts as one call, "kernel".
[[nodiscard]] std::uint64_t calls();
/// The names of the last calls (up to 4096), oldest first: "cudaMalloc", "cublasLtMatmul", "kernel", ...
[[nodiscard]] std::vector<std::string> call_log();
/// How often `name` is in call_log(); `clear_call_log()` starts it anew (the count of calls() goes on).
[[nodiscard]] std::size_t count_calls(std::string_view name);
void clear_call_log();
/// Pieces of device work (kernels, copies, fills, host functions, event records and waits) that have run so far. Does not run
/// any.
[[nodiscard]] std::uint64_t executed();
/// Called by the calling thread at the start of every counted call, with no lock held: a place to let another thread step in.
/// Null: none.
void on_call(std::function<void(std::string_view)> hook);

// ---- faults ----

enum class Fault {
  none,
  once,     ///< the n-th call fails, and no other
  forever,  ///< it and all later ones of its kind (allocation or not) fail
  sticky,   ///< it and every later call on this device answer cudaErrorIllegalAddress (cuBLAS, cuDNN: execution failed)
  late,     ///< it succeeds; the next synchronisation answers cudaErrorIllegalAddress, and then the device is lost
};
/// Makes the n-th counted call from now (1: the next) fail, with a code that fits the function: cudaErrorMemoryAllocation for
/// allocations, CUBLAS_STATUS_ALLOC_FAILED for handles, cudaErrorUnknown and the like for others. Destroying and freeing is done
/// even when it fails.
void fail_nth(std::uint64_t n, Fault fault);
/// The same among calls named `name` only.
void fail_nth(std::string_view name, std::uint64_t n, Fault fault);
void no_faults();
/// Whether a fault set by fail_nth has struck: where it has not, n was beyond the last call.
[[nodiscard]] bool fault_struck();
/// From now on cuBLASLt's heuristics answer `status` (a cublasStatus_t; 15: not supported) for products with this epilogue (a
/// cublasLtEpilogue_t); -1: for all products.
void no_algorithms(int epilogue, int status = 15);
/// The devices on which this process has made a primary context.
[[nodiscard]] std::set<int> contexts();
/// Every later call answers cudaErrorCudartUnloading, as at the end of a process.
void unload();
/// Leaves `error` as the pending error of this thread, as another library in the process might.
void set_last_error(cudaError_t error);

// ---- device work ----

/// Enqueues `fn` as a kernel on `stream`; it may touch device memory. `reads` and `writes`: any pointer into each allocation
/// concerned; the latter count as written to their ends. In a capture it becomes a node, and runs at every replay. `kernel` tells
/// kernels apart; null: one that is loaded.
cudaError_t launch(cudaStream_t stream, const std::vector<const void*>& reads, const std::vector<const void*>& writes,
                   std::function<void()> fn, const void* kernel = nullptr);

/// Lets the calling thread touch device memory while it lives: for tests that build data in place or look at it.
class Access {
 public:
  Access();
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
};

}  // namespace fake_cuda
