// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>
#include <string>

#include "cpu/plans.hpp"
#include "ops/dense.hpp"

/// The engines for a Dense layer on the CPU.
namespace lamella::cpu {

using DenseEngine = ops::Engine<ops::DenseDesc>;

#define LAMELLA_CPU_DENSE(engine) const DenseEngine& engine##_engine();
#include "cpu/dense/engines.def"

/// In the order of the list.
inline std::span<const DenseEngine* const> dense_engines() {
  static const std::array engines{
#define LAMELLA_CPU_DENSE(engine) &engine##_engine(),
#include "cpu/dense/engines.def"
  };
  return engines;
}

using ops::refused_by_all;

}  // namespace lamella::cpu
