// SPDX-License-Identifier: Apache-2.0
#include <barrier>
#include <cmath>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include <cublasLt.h>
#include <cublas_v2.h>

#include "fake_test.hpp"
#include "numbers.hpp"

using fake_cuda::misuses;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

TEST(FakeNumbers, SixteenBitTypesRoundAsDefined) {
  using namespace fake_cuda::inside;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    if (!std::isnan(from_float16(code))) {
      EXPECT_EQ(to_float16(from_float16(code)), code);
    }
    if (!std::isnan(from_bfloat16(code))) {
      EXPECT_EQ(to_bfloat16(from_bfloat16(code)), code);
    }
  }
  EXPECT_EQ(to_float16(65519.996), 0x7BFF);
  EXPECT_EQ(to_float16(65520.0), 0x7C00) << "past the midpoint, rounds to infinity";
  EXPECT_EQ(to_float16(1 + std::ldexp(1.0, -11)), 0x3C00) << "a tie goes to even";
  EXPECT_EQ(to_float16(1 + std::ldexp(3.0, -11)), 0x3C02);
  EXPECT_EQ(to_float16(std::ldexp(1.0, -25)), 0x0000);
  EXPECT_EQ(to_float16(std::ldexp(1.1, -25)), 0x0001);
  EXPECT_TRUE(std::isnan(from_float16(to_float16(std::nan("")))));
  EXPECT_TRUE(std::isnan(from_bfloat16(to_bfloat16(std::nan("")))));
  EXPECT_EQ(to_bfloat16(HUGE_VAL), 0x7F80);
  EXPECT_EQ(to_tf32(1 + 0x1p-11F), 1.0F);
  EXPECT_EQ(to_tf32(1 + 0x3p-11F), 1 + 0x2p-10F);
}

struct Types {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType scale = CUDA_R_32F;
  cudaDataType in = CUDA_R_32F;
  cudaDataType out = CUDA_R_32F;
};

std::size_t size_of(cudaDataType type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

/// A product by cuBLASLt, whose numbers the test keeps in double.
class FakeBlas : public FakeCuda {
 protected:
  void SetUp() override {
    FakeCuda::SetUp();
    ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
  }
  void TearDown() override {
    drop_descriptors();
    cublasLtDestroy(handle_);
    EXPECT_EQ(fake_cuda::live().handles, 0);
    EXPECT_EQ(fake_cuda::live().descriptors, 0);
    FakeCuda::TearDown();
  }

  static double get(cudaDataType type, const void* data, std::size_t i) {
    if (type == CUDA_R_64F) return static_cast<const double*>(data)[i];
    if (type == CUDA_R_32F) return static_cast<const float*>(data)[i];
    const auto bits = static_cast<const std::uint16_t*>(data)[i];
    return type == CUDA_R_16F ? fake_cuda::inside::from_float16(bits) : fake_cuda::inside::from_bfloat16(bits);
  }
  static void put(cudaDataType type, void* data, std::size_t i, double value) {
    if (type == CUDA_R_64F)
      static_cast<double*>(data)[i] = value;
    else if (type == CUDA_R_32F)
      static_cast<float*>(data)[i] = static_cast<float>(value);
    else
      static_cast<std::uint16_t*>(data)[i] =
          type == CUDA_R_16F ? fake_cuda::inside::to_float16(value) : fake_cuda::inside::to_bfloat16(value);
  }

  /// Random numbers on the device, and their values after rounding to the type.
  std::pair<void*, std::vector<double>> random(cudaDataType type, std::size_t elements) {
    void* const data = device<char>(elements * size_of(type));
    std::vector<double> values(elements);
    const fake_cuda::Access access;
    std::uniform_real_distribution<double> draw(-1, 1);
    for (std::size_t i = 0; i < elements; ++i) {
      put(type, data, i, draw(random_));
      values[i] = get(type, data, i);
    }
    return {data, values};
  }

  void describe(int m, int n, int k, const Types& types, bool transpose_a, bool transpose_b, cublasLtEpilogue_t epilogue) {
    cublasLtMatmulDescCreate(&matmul_, types.compute, types.scale);
    cublasLtMatmulPreferenceCreate(&preference_);
    const cublasOperation_t ops[] = {transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N};
    set(CUBLASLT_MATMUL_DESC_TRANSA, ops[0]);
    set(CUBLASLT_MATMUL_DESC_TRANSB, ops[1]);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const int rows[] = {transpose_a ? k : m, transpose_b ? n : k, m};
    const int columns[] = {transpose_a ? m : k, transpose_b ? k : n, n};
    for (int i = 0; i < 3; ++i) {
      ld_[i] = static_cast<std::size_t>(rows[i] + pad_);
      cublasLtMatrixLayoutCreate(&layouts_[i], i < 2 ? types.in : types.out, static_cast<std::uint64_t>(rows[i]),
                                 static_cast<std::uint64_t>(columns[i]), static_cast<std::int64_t>(ld_[i]));
    }
  }
  void drop_descriptors() {
    for (auto& layout : layouts_) cublasLtMatrixLayoutDestroy(std::exchange(layout, nullptr));
    cublasLtMatmulDescDestroy(std::exchange(matmul_, nullptr));
    cublasLtMatmulPreferenceDestroy(std::exchange(preference_, nullptr));
  }
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(matmul_, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
  }
  std::vector<cublasLtMatmulHeuristicResult_t> find(std::uint64_t workspace, std::uint32_t alignment) {
    return find(workspace, {alignment, alignment, alignment, alignment});
  }
  /// Alignments are in the order A, B, C, D.
  std::vector<cublasLtMatmulHeuristicResult_t> find(std::uint64_t workspace, const std::array<std::uint32_t, 4>& alignment) {
    cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    for (int i = 0; i < 4; ++i) {
      const auto attribute = static_cast<cublasLtMatmulPreferenceAttributes_t>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + i);
      cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &alignment[static_cast<std::size_t>(i)], sizeof alignment[0]);
    }
    std::vector<cublasLtMatmulHeuristicResult_t> results(8);
    int found = 0;
    answer_ = cublasLtMatmulAlgoGetHeuristic(handle_, matmul_, layouts_[0], layouts_[1], layouts_[2], layouts_[2], preference_, 8,
                                             results.data(), &found);
    results.resize(static_cast<std::size_t>(found));
    return results;
  }
  template <typename Scalar = float>
  cublasStatus_t multiply(const void* a, const void* b, void* d, const cublasLtMatmulAlgo_t* algo, void* workspace,
                          std::size_t bytes, cudaStream_t s = nullptr) {
    const Scalar alpha = 2;
    const Scalar beta = 0;
    return cublasLtMatmul(handle_, matmul_, &alpha, a, layouts_[0], b, layouts_[1], &beta, d, layouts_[2], d, layouts_[2], algo,
                          workspace, bytes, s);
  }

  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t matmul_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  cublasLtMatrixLayout_t layouts_[3] = {};
  std::size_t ld_[3] = {};
  int pad_ = 1;
  cublasStatus_t answer_ = CUBLAS_STATUS_SUCCESS;
  std::mt19937 random_{1};
};

struct Product : Types {
  double tolerance = 0;
  bool plain = false;  ///< no epilogue
};

void PrintTo(const Product& product, std::ostream* out) {
  *out << "in " << product.in << " out " << product.out << " compute " << product.compute;
}

class FakeProducts : public FakeBlas, public testing::WithParamInterface<Product> {};

TEST_P(FakeProducts, AgreeWithDouble) {
  const auto& types = GetParam();
  constexpr int m = 7, n = 3, k = 33;
  const std::vector<cublasLtEpilogue_t> epilogues =
      types.plain ? std::vector{CUBLASLT_EPILOGUE_DEFAULT}
                  : std::vector{CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS,      CUBLASLT_EPILOGUE_RELU,
                                CUBLASLT_EPILOGUE_GELU,    CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_GELU_BIAS};
  for (const auto epilogue : epilogues) {
    for (int form = 0; form < 4; ++form) {
      const bool ta = (form & 1) != 0;
      const bool tb = (form & 2) != 0;
      describe(m, n, k, types, ta, tb, epilogue);
      const auto [a, av] = random(types.in, ld_[0] * static_cast<std::size_t>(ta ? m : k));
      const auto [b, bv] = random(types.in, ld_[1] * static_cast<std::size_t>(tb ? k : n));
      const auto [bias, bias_values] = random(types.out, m);
      void* const d = device<char>(ld_[2] * n * size_of(types.out));
      if ((epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) set<const void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
      const auto algos = find(1 << 20, 16);
      ASSERT_EQ(answer_, CUBLAS_STATUS_SUCCESS);
      ASSERT_FALSE(algos.empty());
      void* const workspace = device<char>(1 << 20);
      for (const auto& algo : algos) {
        const auto status = types.compute == CUBLAS_COMPUTE_64F ? multiply<double>(a, b, d, &algo.algo, workspace, 1 << 20)
                                                                : multiply(a, b, d, &algo.algo, workspace, 1 << 20);
        ASSERT_EQ(status, CUBLAS_STATUS_SUCCESS);
        ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
        const fake_cuda::Access access;
        for (std::size_t column = 0; column < n; ++column) {
          for (std::size_t row = 0; row < m; ++row) {
            double truth = 0;
            for (std::size_t i = 0; i < k; ++i) {
              truth += 2 * av[ta ? row * ld_[0] + i : i * ld_[0] + row] * bv[tb ? i * ld_[1] + column : column * ld_[1] + i];
            }
            if ((epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) truth += bias_values[row];
            if ((epilogue & CUBLASLT_EPILOGUE_RELU) != 0) truth = std::max(truth, 0.0);
            if ((epilogue & CUBLASLT_EPILOGUE_GELU) != 0) {
              truth *= 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (truth + 0.044715 * truth * truth * truth)));
            }
            EXPECT_NEAR(get(types.out, d, column * ld_[2] + row), truth, types.tolerance * (1 + std::fabs(truth)));
          }
          EXPECT_TRUE(std::isnan(get(types.out, d, column * ld_[2] + m))) << "wrote into the padding";
        }
      }
      drop_descriptors();
    }
  }
  EXPECT_THAT(misuses(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Types, FakeProducts,
                         testing::Values(Product{{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F}, 1e-5},
                                         Product{{CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F}, 1e-14, true},
                                         Product{{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16F, CUDA_R_16F}, 1e-3},
                                         Product{{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF}, 8e-3},
                                         Product{{CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F}, 1e-5},
                                         Product{{CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F}, 1e-2}));

TEST_F(FakeBlas, Tf32IsVisible) {
  for (const bool tf32 : {false, true}) {
    describe(1, 1, 1, {tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F}, false, false, CUBLASLT_EPILOGUE_DEFAULT);
    const float precise = 1 + 0x1p-20F;
    float* const a = upload<float>({precise, 0});
    float* const b = upload<float>({1, 0});
    float* const d = device<float>(2);
    ASSERT_EQ(multiply(a, b, d, nullptr, nullptr, 0), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(look(d, 1)[0], tf32 ? 2.0F : 2 * precise);
    if (tf32) break;  // the last one is destroyed by TearDown
    drop_descriptors();
  }
}

TEST_F(FakeBlas, HeuristicsKeepToThePreference) {
  pad_ = 0;
  describe(8, 4, 16, {}, false, false, CUBLASLT_EPILOGUE_DEFAULT);
  const auto all = find(1 << 20, 256);
  EXPECT_EQ(all.size(), 3U);
  EXPECT_GT(all[0].workspaceSize, 0U);
  EXPECT_EQ(find(0, 256).size(), 2U);
  EXPECT_EQ(find(1 << 20, 4).size(), 1U);
}

TEST_F(FakeBlas, PromisesAreChecked) {
  pad_ = 0;
  describe(8, 4, 16, {}, false, false, CUBLASLT_EPILOGUE_DEFAULT);
  const auto algos = find(1 << 20, 256);
  float* const a = device<float>(8 * 16 + 1);
  float* const b = device<float>(16 * 4);
  float* const d = device<float>(8 * 4);
  void* const workspace = device<char>(1 << 20);
  EXPECT_EQ(multiply(a, b, d, &algos[0].algo, workspace, algos[0].workspaceSize - 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(a + 1, b, d, &algos[0].algo, workspace, 1 << 20), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(a, b, d + 1, &find(0, 4)[0].algo, workspace, 1 << 20), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(fake_cuda::take_misuses(),
              ElementsAre(HasSubstr("workspace of"), HasSubstr("not aligned"), HasSubstr("beyond the end")));
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  EXPECT_EQ(multiply(a, b, d, nullptr, nullptr, 0), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasLtMatmulDescSetAttribute(nullptr, CUBLASLT_MATMUL_DESC_EPILOGUE, nullptr, 4), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("no bias"), HasSubstr("null")));
}

TEST_F(FakeBlas, EachOperandIsAlignedAsPromised) {
  pad_ = 0;
  describe(8, 4, 16, {}, false, false, CUBLASLT_EPILOGUE_BIAS);
  float* const a = device<float>(8 * 16 + 1);
  float* const b = device<float>(16 * 4 + 1);
  float* const d = device<float>(8 * 4 + 1);
  const float* const bias = device<float>(8 + 1);
  set<const void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const auto only_b = find(0, {256, 4, 4, 16});
  ASSERT_EQ(only_b.size(), 1U);
  EXPECT_EQ(multiply(a, b + 1, d, &only_b[0].algo, nullptr, 0), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(a + 1, b, d, &only_b[0].algo, nullptr, 0), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(a, b, d + 1, &only_b[0].algo, nullptr, 0), CUBLAS_STATUS_INVALID_VALUE);
  const auto not_b = find(0, {16, 16, 16, 4});
  ASSERT_EQ(not_b.size(), 1U);
  EXPECT_EQ(multiply(a, b + 1, d, &not_b[0].algo, nullptr, 0), CUBLAS_STATUS_INVALID_VALUE);
  set<const void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias + 1);
  EXPECT_EQ(multiply(a, b, d, &not_b[0].algo, nullptr, 0), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("A not aligned to 16"), HasSubstr("D not aligned to 16"),
                                     HasSubstr("B not aligned to 16"), HasSubstr("bias not aligned to 16")));
}

TEST_F(FakeBlas, TheOrderOfSumsMayDependOnTheBatch) {
  pad_ = 0;
  for (const bool by_batch : {false, true}) {
    fake_cuda::reset({.order_by_batch = by_batch});
    ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
    std::set<std::vector<float>> sums;
    for (const int n : {4, 8, 12}) {
      describe(8, n, 16, {}, false, false, CUBLASLT_EPILOGUE_DEFAULT);
      float* const a = device<float>(8 * 16);
      float* const b = device<float>(static_cast<std::size_t>(16 * n));
      float* const d = device<float>(static_cast<std::size_t>(8 * n));
      {
        const fake_cuda::Access access;
        for (int i = 0; i < 8 * 16; ++i) a[i] = 1.F / static_cast<float>(i + 1);
        std::fill_n(b, 16 * n, 1.F);
      }
      ASSERT_EQ(multiply(a, b, d, &find(1 << 20, 256)[0].algo, device<char>(1 << 20), 1 << 20), CUBLAS_STATUS_SUCCESS);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      sums.insert(look(d, 8));
      drop_descriptors();
    }
    EXPECT_EQ(sums.size() > 1, by_batch);
  }
}

TEST_F(FakeBlas, AGeluMayHaveElevenBits) {
  std::array<float, 2> results{};
  for (const bool inexact : {false, true}) {
    fake_cuda::reset({.inexact_gelu = std::vector<cudaDataType>(inexact ? 1 : 0, CUDA_R_32F)});
    ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
    describe(1, 1, 1, {}, false, false, CUBLASLT_EPILOGUE_GELU);
    float* const d = device<float>(2);
    ASSERT_EQ(multiply(upload<float>({1, 0}), upload<float>({0.5F, 0}), d, nullptr, nullptr, 0), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    results[inexact ? 1 : 0] = look(d, 1)[0];
    drop_descriptors();
  }
  EXPECT_NE(results[0], results[1]);
  EXPECT_NEAR(results[0], results[1], 1e-3);
}

TEST_F(FakeBlas, HandlesAreDestroyedOnTheirDeviceAndBeforeCudaIsUnloaded) {
  cublasLtDestroy(handle_);
  fake_cuda::reset({.devices = 2});
  ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cublasLtDestroy(handle_), CUBLAS_STATUS_SUCCESS);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("while another device than the handle's is current")));
  fake_cuda::unload();
  EXPECT_EQ(cublasLtDestroy(handle_), CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("cublasLtDestroy is called when CUDA is gone")));
  fake_cuda::reset();
  ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
}

TEST_F(FakeBlas, StreamsThatShareAWorkspaceRace) {
  pad_ = 0;
  describe(8, 4, 16, {}, false, false, CUBLASLT_EPILOGUE_DEFAULT);
  const auto algos = find(1 << 20, 256);
  void* const workspace = device<char>(1 << 20);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(multiply(device<float>(128), device<float>(64), device<float>(32), &algos[0].algo, workspace, 1 << 20, stream()),
              CUBLAS_STATUS_SUCCESS);
  }
  EXPECT_THAT(misuses(), ElementsAre(HasSubstr("race on allocation 1 ")));
}

TEST_F(FakeBlas, TwoThreadsInOneHandle) {
  describe(1, 1, 1, {}, false, false, CUBLASLT_EPILOGUE_DEFAULT);
  float* const a = device<float>(2);
  float* const b = device<float>(2);
  std::barrier both(2);
  fake_cuda::on_call([&](std::string_view) { both.arrive_and_wait(); });
  const auto work = [&] {
    float* const d = a;
    EXPECT_EQ(multiply(a, b, d, nullptr, nullptr, 0), CUBLAS_STATUS_SUCCESS);
  };
  std::thread other(work);
  work();
  other.join();
  fake_cuda::on_call({});
  EXPECT_THAT(misuses(), Contains(HasSubstr("two threads")));
}

}  // namespace
