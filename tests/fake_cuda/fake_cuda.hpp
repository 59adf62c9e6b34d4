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

/// Controls the test double of the CUDA runtime, cuBLASLt and cuDNN, which is linked in their place.
///
/// How it differs from a lenient simulator:
/// - Kernels are compiled by nvcc: tests/ptx executes their PTX. Each finding is recorded as a misuse, and the device is lost.
/// - Device memory is PROT_NONE for the host: code that dereferences a device pointer outside device work dies with SIGSEGV.
/// - New and freed memory is 0xFF (NaN in every floating type). 256 bytes on both sides of an allocation are checked when it is
///   freed; freeing without having waited for the users of the memory is a misuse.
/// - Nothing runs when it is enqueued. Work runs at synchronisation points, in an order that a seeded scheduler draws from all
///   legal ones. Pinned host memory is read and written when the copy runs; pageable sources are read at enqueue; a copy to
///   pageable memory waits.
/// - Vector clocks follow streams, events and the host, so a missing wait is reported even if the values are right. They are kept
///   per allocation: streams that write different parts of one allocation race.
/// - Breaking a rule of CUDA that does not crash a program is recorded as a misuse, one sentence each.
/// - Stream handles are reused at once, even while work of the old stream runs; ids are not.
///
/// What is not modelled: memory nodes in graphs (cudaMallocFromPoolAsync in a capture is refused), graphs in graphs, peer access,
/// textures.
namespace fake_cuda {

struct Options {
  unsigned seed = 0;   ///< for the scheduler
  bool eager = false;  ///< run work as soon as it is enqueued and its predecessors are done
  int devices = 1;
  std::size_t memory = std::size_t{256} << 20;  ///< bytes of each device; at most 8 GiB
  int compute_capability = 90;
  int driver_version = 13000;              ///< what cudaDriverGetVersion says; 0: no driver
  cudaError_t driver_error = cudaSuccess;  ///< the result of initialisation: 35, 100, 803, 804, 999, ...
  bool pools = true;                       ///< devices have memory pools
  std::vector<int> no_image = {};          ///< devices for which nothing was compiled
  int clusters = 16;                       ///< that a device runs at a time; 0: it is too small for one

  // What real libraries are reported to do, or may do by their documentation. Lists name the affected types.
  std::vector<cudaDataType> relu_drops_nan = {};  ///< cuBLASLt's RELU makes 0 of NaN
  std::vector<cudaDataType> inexact_gelu = {};    ///< cuBLASLt's GELU uses tanh.approx
  std::vector<cudaDataType> inexact_tanh = {};    ///< cuDNN's tanh is tanh.approx
  bool order_by_batch = false;                    ///< the first algorithm, and so the order of sums, depends on n
  bool no_unaligned = false;                      ///< no algorithm takes pointers that are not aligned to 16 bytes
  std::vector<double> product_seconds = {};       ///< time of a product by each algorithm in the order offered; others take 0
  int wrong_algorithm = -1;                       ///< the place in that order of one with wrong results
  int failing_algorithm = -1;                     ///< of one that is offered, and refused when it is called
  int most_for_few_rows = 100;                    ///< the most algorithms that are offered for n < 128
  /// Called with the name of each piece of device work before it runs, such as a kernel's; must not call CUDA.
  std::function<void(std::string_view)> on_work = {};
  int heuristics_in_captures =
      0;  ///< a cublasStatus_t: the result of cuBLASLt's heuristics while a stream of the device is captured
};

/// The options of the environment variable LAMELLA_FAKE_CUDA: "strict" turns on all those above that change results or refuse.
[[nodiscard]] Options options_of_environment();

/// Resets the double: no objects, no memory, no misuses, no faults, call counts at 0. Earlier handles and pointers are invalid.
/// Call it first in every test, with nothing else running. A forked child has no CUDA until it calls this, so death tests that
/// call CUDA need the "threadsafe" style.
void reset(const Options& options = {});

// ---- misuses ----

/// Runs all pending work, without telling the host that it has run, and returns the misuses since reset(), in order.
/// A test ends with EXPECT_THAT(fake_cuda::misuses(), IsEmpty()).
[[nodiscard]] std::vector<std::string> misuses();
/// The same, and clears them.
[[nodiscard]] std::vector<std::string> take_misuses();
/// Records a misuse; called by other parts of the double.
void misuse(const std::string& what);

// ---- live objects ----

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
/// Runs all pending work first, so that memory freed in stream order counts as free. `live() == Live{}` means no leak.
[[nodiscard]] Live live();

// ---- calls ----

/// Calls counted so far: of every function of the double except those for names, strings and versions, cuCtxGetCurrent and
/// cudaGetLastError. A launch counts as one call, "kernel".
[[nodiscard]] std::uint64_t calls();
/// The names of the last calls (up to 4096), oldest first: "cudaMalloc", "cublasLtMatmul", "kernel", ...
[[nodiscard]] std::vector<std::string> call_log();
/// How often `name` is in call_log(). clear_call_log() empties the log but does not reset calls().
[[nodiscard]] std::size_t count_calls(std::string_view name);
void clear_call_log();
/// The number of pieces of device work (kernels, copies, fills, host functions, event records and waits) that have run so far.
/// Runs nothing.
[[nodiscard]] std::uint64_t executed();
/// The time of all products of cuBLASLt since reset(), by Options::product_seconds.
[[nodiscard]] double product_seconds();
/// Sets a function that each thread calls at the start of its counted calls, without a lock, for instance to let another thread
/// run in between; null for none.
void on_call(std::function<void(std::string_view)> hook);

// ---- faults ----

enum class Fault {
  none,
  once,     ///< the n-th call fails, and no other
  forever,  ///< it and all later ones of its kind (allocation or not) fail
  sticky,   ///< it and every later call on this device return cudaErrorIllegalAddress (cuBLAS, cuDNN: execution failed)
  late,     ///< it succeeds; the next synchronisation returns cudaErrorIllegalAddress, and then the device is lost
};
/// Makes the n-th counted call from now (1: the next) fail, with a code that fits the function: cudaErrorMemoryAllocation for
/// allocations, CUBLAS_STATUS_ALLOC_FAILED for handles, cudaErrorUnknown and the like for others. Destroying and freeing is done
/// even when it fails.
void fail_nth(std::uint64_t n, Fault fault);
/// The same among calls named `name` only.
void fail_nth(std::string_view name, std::uint64_t n, Fault fault);
void no_faults();
/// Whether the fault set by fail_nth() has happened; if not, there were fewer than n calls.
[[nodiscard]] bool fault_struck();
/// From now on cuBLASLt's heuristics return `status` (a cublasStatus_t; 15: not supported) for products with this epilogue (a
/// cublasLtEpilogue_t; -1: for all products).
void no_algorithms(int epilogue, int status = 15);
/// The devices on which this process has made a primary context.
[[nodiscard]] std::set<int> contexts();
/// Every later call returns cudaErrorCudartUnloading, as at the end of a process.
void unload();
/// Leaves `error` as the pending error of this thread, as another library in the process might.
void set_last_error(cudaError_t error);

// ---- device work ----

/// Enqueues `fn` as a kernel on `stream`; it may access device memory. `reads` and `writes` hold a pointer into each allocation
/// that it uses; those of `writes` count as written from there to their ends. In a capture it becomes a node, which runs at every
/// replay. `kernel` identifies the kernel; null: one that is already loaded.
cudaError_t launch(cudaStream_t stream, const std::vector<const void*>& reads, const std::vector<const void*>& writes,
                   std::function<void()> fn, const void* kernel = nullptr);

/// While it exists, the calling thread may access device memory: for tests that write or read data in place.
class Access {
 public:
  Access();
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
};

}  // namespace fake_cuda
