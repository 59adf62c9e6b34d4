/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lamella's C interface, C99: Keras models of Dense and activation layers, from any language that can call C.
 *
 * Rules that hold for every function:
 * - A function that can fail returns lamella_error*: NULL is success. The caller owns it: lamella_error_free().
 * - Out-parameters are written on success only.
 * - Nothing throws or prints, and there is no per-thread state. A NULL handle or pointer where one is needed is an error, not a crash.
 *   Free functions accept NULL.
 * - Strings are UTF-8 and end with NUL. A returned string belongs to the object it came from and lives as long as that, unless stated
 *   otherwise.
 * - Structs begin with struct_size. Set it to sizeof the struct, in every element of an array, and fields that you do not use to 0:
 *   `lamella_tensor x = {.struct_size = sizeof x};`. Later versions may add fields at the end, with the default 0 or NULL. At most
 *   struct_size bytes are read or written, so the program may be older than the library, or newer: an older library ignores fields that
 *   it does not know, and does not write them. A size less than version 0.1's is an error.
 * - A lamella_model is immutable, except for lamella_model_update_weights(): any number of threads may use one at once. Free it only
 *   after their calls have returned.
 */
#ifndef LAMELLA_LAMELLA_H
#define LAMELLA_LAMELLA_H

#include <stddef.h>
#include <stdint.h>

/* As LAMELLA_API in lamella/export.hpp. */
#if defined(_WIN32) && defined(LAMELLA_EXPORTS)
#define LAMELLA_C_API __declspec(dllexport)
#elif defined(_WIN32) && !defined(LAMELLA_STATIC)
#define LAMELLA_C_API __declspec(dllimport)
#elif !defined(_WIN32) && defined(__GNUC__)
#define LAMELLA_C_API __attribute__((visibility("default")))
#else
#define LAMELLA_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Incremented when programs compiled against an older header could break. */
#define LAMELLA_ABI_VERSION 1
/* The version of the loaded library, to compare with LAMELLA_ABI_VERSION. */
LAMELLA_C_API int32_t lamella_abi_version(void);
/* Of the loaded library: "1.2.3". */
LAMELLA_C_API const char* lamella_version(void);

/* ---- Errors ---- */

typedef struct lamella_error lamella_error;
/* What went wrong: "E_SHAPE" and so on, as in lamella/error.hpp; "" for NULL. */
LAMELLA_C_API const char* lamella_error_code(const lamella_error* error);
/* One line: where, what was found, what is allowed, and the code in brackets; "" for NULL. */
LAMELLA_C_API const char* lamella_error_message(const lamella_error* error);
LAMELLA_C_API void lamella_error_free(lamella_error* error);
/* Frees text that a function returned to its caller. */
LAMELLA_C_API void lamella_string_free(char* text);

/* ---- Messages ---- */

#define LAMELLA_LOG_INFO 0    /* what a model runs on, and what it plans */
#define LAMELLA_LOG_WARNING 1 /* something costs speed, or does not do what was asked for; results are right */
/* `message` is one line, valid during the call. */
typedef void (*lamella_log_function)(int32_t level, const char* message, void* user);
/*
 * Sets the function that receives messages, in the whole process; lamella/log.hpp lists them. NULL, the default: messages are dropped. It
 * is called with `user` by the thread to which a message belongs, by several threads at once too, and may call lamella. `free_user`, unless
 * NULL, is called once with `user` when another function has been set and no thread is in this one any more. After an error `user` stays
 * the caller's.
 */
LAMELLA_C_API lamella_error* lamella_set_log_function(lamella_log_function function, void* user, void (*free_user)(void* user));

/* ---- Tensors ---- */

/* Element types; the numbers never change. */
#define LAMELLA_FLOAT32 0
#define LAMELLA_FLOAT16 1
#define LAMELLA_BFLOAT16 2
#define LAMELLA_FLOAT64 3
#define LAMELLA_INT8 4
#define LAMELLA_INT16 5
#define LAMELLA_INT32 6
#define LAMELLA_INT64 7
#define LAMELLA_UINT8 8
#define LAMELLA_UINT16 9
#define LAMELLA_UINT32 10
#define LAMELLA_UINT64 11
#define LAMELLA_BOOL 12

/* Kinds of devices, with DLPack's numbers. */
#define LAMELLA_CPU 1
#define LAMELLA_CUDA 2

#define LAMELLA_MAX_RANK 16

/* A caller's array; or, from lamella_model_input() and _output(), the properties that an array must have. */
typedef struct lamella_tensor {
  size_t struct_size;     /* sizeof(lamella_tensor), so that it can grow; the same in each element of an array */
  void* data;             /* inputs are never written */
  int32_t dtype;          /* LAMELLA_FLOAT32 ... */
  int32_t ndim;           /* 1 to LAMELLA_MAX_RANK: the batch is the first axis */
  const int64_t* shape;   /* ndim extents */
  const int64_t* strides; /* ndim strides, in elements; NULL: C order, contiguous */
  int32_t device_type;    /* LAMELLA_CPU, LAMELLA_CUDA */
  int32_t device_index;
} lamella_tensor;

/* ---- Options ---- */

typedef struct lamella_options lamella_options;
/* The defaults of lamella/options.hpp. The caller owns them. */
LAMELLA_C_API lamella_error* lamella_options_create(lamella_options** options);
/*
 * Sets one field of lamella::Options by its name, as text:
 *   device             "automatic", "cpu", "cuda", "cuda:N"
 *   dtype              "float32", "bfloat16", "float16", "float64"; "" for the layers' own policies
 *   math               "exact", "tf32", "bf16x6"
 *   fusion             "automatic", "none", "epilogue", "library"
 *   determinism        "run_to_run", "batch_invariant"
 *   tuning             "off", "cached", "measure"
 *   hard_sigmoid       "as_written", "keras2", "keras3"
 *   engine             a Dense engine; "" for the best
 *   threads, max_batch, cached_programs, memory_limit     whole numbers
 *   graphs, profile, updatable     "true", "false"
 */
LAMELLA_C_API lamella_error* lamella_options_set(lamella_options* options, const char* name, const char* value);
LAMELLA_C_API void lamella_options_free(lamella_options* options);

/* ---- Models ---- */

typedef struct lamella_model lamella_model;
/* Reads a .keras archive, its unpacked directory, or a legacy .h5 file. `options` may be NULL. The caller owns the model. */
LAMELLA_C_API lamella_error* lamella_model_load(const char* path, const lamella_options* options, lamella_model** model);
/*
 * The same for a file that may lack the shape of its input: samples then have `shape`, of `ndim` extents without the batch, -1 for
 * None.
 */
LAMELLA_C_API lamella_error* lamella_model_load_with_shape(const char* path, const int64_t* shape, size_t ndim, const lamella_options* options,
                                                           lamella_model** model);
/* The same from `size` bytes of such a file in memory; they are copied. */
LAMELLA_C_API lamella_error* lamella_model_load_bytes(const void* bytes, size_t size, const lamella_options* options, lamella_model** model);
/* A new model with another activation in one Dense or Activation layer; the weights are shared. */
LAMELLA_C_API lamella_error* lamella_model_with_activation(const lamella_model* model, const char* layer, const char* activation,
                                                           lamella_model** changed);
/*
 * The same with `count` parameters of the activation, by Keras' names: "leaky_relu" with "negative_slope", "softmax" with "axis". The
 * others have Keras' defaults.
 */
LAMELLA_C_API lamella_error* lamella_model_with_activation_parameters(const lamella_model* model, const char* layer, const char* activation,
                                                                      const char* const* names, const double* values, size_t count,
                                                                      lamella_model** changed);
/* A new model whose outputs are those of one layer, "outer/dense" inside a nested model; the weights are shared. */
LAMELLA_C_API lamella_error* lamella_model_output_of(const lamella_model* model, const char* layer, lamella_model** part);
/* Writes NAME.keras, or NAME.weights.h5, as Keras 3 does. */
LAMELLA_C_API lamella_error* lamella_model_save(const lamella_model* model, const char* path);
/*
 * A new model with the weights of a file: .weights.h5, .weights.json with its shards, or a whole model; or an .npz or .safetensors file,
 * which may hold some of the weights, named as for lamella_model_update_weights(), or those of a torch module's Linear layers.
 */
LAMELLA_C_API lamella_error* lamella_model_with_weights(const lamella_model* model, const char* path, lamella_model** changed);
/*
 * Writes new values of `count` weights, arrays named by their layer's path and Keras' name, "outer/dense/kernel", into a model with
 * the option `updatable`: nothing is planned or captured again. Arrays are on the host or, complete and without strides, on the model's
 * CUDA device. Floating types are converted to the weight's. Waits for calls of other threads and for the work that they enqueued; calls
 * that start meanwhile wait. After an error, except of the device in use, all weights are unchanged.
 */
LAMELLA_C_API lamella_error* lamella_model_update_weights(lamella_model* model, const char* const* names, const lamella_tensor* values,
                                                          size_t count);
/* The same from an .npz or .safetensors file. */
LAMELLA_C_API lamella_error* lamella_model_update_from_file(lamella_model* model, const char* path);
/*
 * lamella_model_update_weights() on a CUDA device, enqueued on `stream` (a cudaStream_t of the model's device; NULL: CUDA's default
 * stream): after the work already enqueued there, and before what later calls of this model enqueue, on any stream. The host waits only
 * for values in device memory, which are read after the work on `stream`, and for the previous update on a stream. The arrays may be
 * freed on return.
 */
LAMELLA_C_API lamella_error* lamella_model_enqueue_update(lamella_model* model, const char* const* names, const lamella_tensor* values,
                                                          size_t count, void* stream);
/* On CUDA a model may be freed before the work that it enqueued is done. */
LAMELLA_C_API void lamella_model_free(lamella_model* model);

/* The device on which it runs. */
LAMELLA_C_API lamella_error* lamella_model_device(const lamella_model* model, int32_t* device_type, int32_t* device_index);
/* The number of inputs and of outputs; 0 for NULL. */
LAMELLA_C_API int32_t lamella_model_input_count(const lamella_model* model);
LAMELLA_C_API int32_t lamella_model_output_count(const lamella_model* model);
/* NULL if there is no such input or output. */
LAMELLA_C_API const char* lamella_model_input_name(const lamella_model* model, int32_t index);
LAMELLA_C_API const char* lamella_model_output_name(const lamella_model* model, int32_t index);
/*
 * Describes an input or output: `data` and `strides` are NULL, `shape` has -1 for the batch and where Keras has None; it
 * belongs to the model. `what->struct_size` must be set.
 */
LAMELLA_C_API lamella_error* lamella_model_input(const lamella_model* model, int32_t index, lamella_tensor* what);
LAMELLA_C_API lamella_error* lamella_model_output(const lamella_model* model, int32_t index, lamella_tensor* what);

/*
 * Computes into the caller's arrays, all inputs and outputs in the model's order, with as many rows each. dtypes must be the model's.
 * Arrays on the model's device, without strides, are read and written in place: nothing is copied, and after the first call with
 * as many rows nothing is allocated. Strided host arrays are copied; so are host arrays of a model on CUDA.
 * Returns when the outputs are complete. Arrays in CUDA memory must be complete: the call does not wait for the caller's streams.
 * Inputs and outputs must not share memory.
 */
LAMELLA_C_API lamella_error* lamella_model_predict(const lamella_model* model, const lamella_tensor* inputs, size_t input_count,
                                                   const lamella_tensor* outputs, size_t output_count);
/*
 * The same from host arrays into host arrays of the library's own: for outputs whose shape has -1 beside the batch, so that only the
 * inputs say how large they are. The caller owns the results: lamella_results_free().
 */
typedef struct lamella_results lamella_results;
LAMELLA_C_API lamella_error* lamella_model_predict_new(const lamella_model* model, const lamella_tensor* inputs, size_t input_count,
                                                       lamella_results** results);
/* An output, in the model's order, in C order; its memory belongs to the results. `what->struct_size` must be set. */
LAMELLA_C_API lamella_error* lamella_results_get(const lamella_results* results, int32_t index, lamella_tensor* what);
LAMELLA_C_API void lamella_results_free(lamella_results* results);
/*
 * Computes on a CUDA device, enqueued on `stream` (a cudaStream_t of the model's device; NULL: CUDA's default stream). Returns at
 * once; arrays are CUDA memory without strides and must live until the work is done.
 */
LAMELLA_C_API lamella_error* lamella_model_enqueue(const lamella_model* model, const lamella_tensor* inputs, size_t input_count,
                                                   const lamella_tensor* outputs, size_t output_count, void* stream);
/* Does in advance what the first calls with `batches[0..count)` rows would do: plans, packs weights, and on CUDA captures graphs. */
LAMELLA_C_API lamella_error* lamella_model_prepare(const lamella_model* model, const int64_t* batches, size_t count);

/* The number of elements of all weights; 0 for NULL. */
LAMELLA_C_API int64_t lamella_model_count_params(const lamella_model* model);
/* Bytes now used by weights, forms made of them, and sessions, as counted by Model::memory_bytes(). */
LAMELLA_C_API lamella_error* lamella_model_memory_bytes(const lamella_model* model, uint64_t* host, uint64_t* device);

typedef struct lamella_stats {
  size_t struct_size;       /* sizeof(lamella_stats), so that it can grow */
  int64_t calls;            /* predictions since the model was made */
  int64_t rows;             /* rows of these */
  int64_t programs;         /* kept now: one per batch size */
  int64_t sessions;         /* kept now; each has the memory that one thread needs */
  int64_t graphs;           /* CUDA graphs kept now */
  double preparing_seconds; /* spent on planning, packing weights and capturing graphs: in first calls and lamella_model_prepare() */
} lamella_stats;
/* `stats->struct_size` must be set. Calls are not timed: read a clock around them where their time is wanted. */
LAMELLA_C_API lamella_error* lamella_model_stats(const lamella_model* model, lamella_stats* stats);
/* Keras' summary table. The caller owns the text: lamella_string_free(). */
LAMELLA_C_API lamella_error* lamella_model_summary(const lamella_model* model, char** text);
/* What runs at this batch size, as a table or, with `json` other than 0, as JSON. The caller owns the text. */
LAMELLA_C_API lamella_error* lamella_model_explain(const lamella_model* model, int64_t batch, int32_t json, char** text);

#ifdef __cplusplus
}
#endif

#endif
