// SPDX-License-Identifier: Apache-2.0
#include <lamella/options.hpp>

namespace lamella {

std::string_view to_string(Math math) noexcept {
  switch (math) {
    case Math::exact:
      return "exact";
    case Math::tf32:
      return "tf32";
    case Math::bf16x6:
      return "bf16x6";
  }
  return "none of Math";
}

std::string_view to_string(Fusion fusion) noexcept {
  switch (fusion) {
    case Fusion::automatic:
      return "automatic";
    case Fusion::none:
      return "none";
    case Fusion::epilogue:
      return "epilogue";
    case Fusion::library:
      return "library";
  }
  return "none of Fusion";
}

std::string_view to_string(Determinism determinism) noexcept {
  switch (determinism) {
    case Determinism::run_to_run:
      return "run_to_run";
    case Determinism::batch_invariant:
      return "batch_invariant";
  }
  return "none of Determinism";
}

std::string_view to_string(Tuning tuning) noexcept {
  switch (tuning) {
    case Tuning::off:
      return "off";
    case Tuning::cached:
      return "cached";
    case Tuning::measure:
      return "measure";
  }
  return "none of Tuning";
}

std::string_view to_string(HardSigmoid hard_sigmoid) noexcept {
  switch (hard_sigmoid) {
    case HardSigmoid::as_written:
      return "as_written";
    case HardSigmoid::keras2:
      return "keras2";
    case HardSigmoid::keras3:
      return "keras3";
  }
  return "none of HardSigmoid";
}

}  // namespace lamella
