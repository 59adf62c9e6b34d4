// SPDX-License-Identifier: Apache-2.0
// One bug for each tool of compute-sanitizer, to notice a tool that did not run. Usage: planted
// memcheck|racecheck|initcheck|synccheck
#include <cstdio>
#include <cstring>

namespace {

__global__ void overrun(int* data, int n) { data[n] = 1; }

__global__ void race(int* data) {
  __shared__ int shared[64];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  data[threadIdx.x] = shared[63 - threadIdx.x];  // no barrier in between
}

__global__ void uninitialized(const int* data, int* sum) { *sum = data[threadIdx.x] + 1; }

__global__ void uninvited(int* data) {
  const unsigned first = __ballot_sync(0xFFFFFFFF, threadIdx.x < 16);
  if (threadIdx.x <= 16) __syncwarp(first);  // the last of them is not in the mask
  data[threadIdx.x] = 1;
}

}  // namespace

int main(int argc, char** argv) {
  const char* const which = argc > 1 ? argv[1] : "";
  int* data = nullptr;
  int* sum = nullptr;
  if (cudaMalloc(&data, 64 * sizeof(int)) != cudaSuccess || cudaMalloc(&sum, sizeof(int)) != cudaSuccess) return 2;
  if (std::strcmp(which, "memcheck") == 0) {
    overrun<<<1, 1>>>(data, 64);
  } else if (std::strcmp(which, "racecheck") == 0) {
    race<<<1, 64>>>(data);
  } else if (std::strcmp(which, "initcheck") == 0) {
    uninitialized<<<1, 32>>>(data, sum);
  } else if (std::strcmp(which, "synccheck") == 0) {
    uninvited<<<1, 32>>>(data);
  } else {
    std::fprintf(stderr, "planted: which bug? memcheck, racecheck, initcheck or synccheck\n");
    return 2;
  }
  std::printf("%s\n", cudaGetErrorString(cudaDeviceSynchronize()));
  return 0;
}
