// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <cublasLt.h>

#include "cuda/dense/product.hpp"

namespace lamella::cuda {

/// The algorithms that cuBLASLt's heuristics offer for a product.
struct ProductChoice {
  std::optional<cublasLtMatmulHeuristicResult_t> aligned;  ///< for src and dst aligned to 16 bytes; none: the product is refused
  std::optional<cublasLtMatmulHeuristicResult_t> any;      ///< for any src and dst; none: they are copied
  std::string why_none;                                    ///< if there is no `aligned`, as a sentence
  bool is_final = true;                                    ///< false: a later query may give a different answer
};

/// One device's choices, each queried once per process: the same product always has the same bits, and plans made during a stream
/// capture need no query. Thread-safe.
class ProductAlgorithms {
 public:
  [[nodiscard]] std::shared_ptr<const ProductChoice> get(const ProductDesc& desc, const std::function<ProductChoice()>& ask) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = known_.find(desc); found != known_.end()) return found->second;
    }
    auto made = std::make_shared<const ProductChoice>(ask());
    if (!made->is_final) return made;
    const std::lock_guard lock(mutex_);
    return known_.emplace(desc, std::move(made)).first->second;  // another thread may have been faster
  }

 private:
  std::mutex mutex_;
  std::map<ProductDesc, std::shared_ptr<const ProductChoice>> known_;
};

}  // namespace lamella::cuda
