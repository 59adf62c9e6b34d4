// SPDX-License-Identifier: Apache-2.0
#include <string_view>
#include <utility>

#include <lamella/version.hpp>

#include "c/boundary.hpp"
#include "core/number.hpp"

namespace lamella::c {
namespace {

constexpr const char* kSet = "lamella_options_set";

/// The enumerator with this name. Throws ArgumentError, listing all names.
template <typename T, std::size_t N>
T one_of(std::string_view option, std::string_view value, const T (&all)[N]) {
  std::string allowed;
  for (const T one : all) {
    if (to_string(one) == value) return one;
    allowed += core::format("{}{}", allowed.empty() ? "" : ", ", to_string(one));
  }
  core::throw_argument(ErrorCode::value,
                       core::format("[{}] {}: got '{}', allowed {}", kSet, option, core::escaped(value), allowed));
}

template <typename T>
T whole_number(std::string_view option, std::string_view value) {
  const auto number = core::number_in<T>(value);
  LAMELLA_EXPECTS(number, value, "[{}] {}: got '{}', allowed a whole number", kSet, option, core::escaped(value));
  return *number;
}

bool truth(std::string_view option, std::string_view value) {
  LAMELLA_EXPECTS(value == "true" || value == "false", value, "[{}] {}: got '{}', allowed true, false", kSet, option,
                  core::escaped(value));
  return value == "true";
}

using Setter = void (*)(Options& options, std::string_view option, std::string_view value);

constexpr std::pair<std::string_view, Setter> kSetters[] = {
    {"device", [](Options& o, std::string_view, std::string_view v) { o.device = Device::parse(v); }},
    {"dtype", [](Options& o, std::string_view,
                 std::string_view v) { o.dtype = v.empty() ? std::nullopt : std::optional(lamella::dtype_of(v)); }},
    {"math",
     [](Options& o, std::string_view n, std::string_view v) {
       o.math = one_of(n, v, {Math::exact, Math::tf32, Math::bf16x6});
     }},
    {"fusion",
     [](Options& o, std::string_view n, std::string_view v) {
       o.fusion = one_of(n, v, {Fusion::automatic, Fusion::none, Fusion::epilogue, Fusion::library});
     }},
    {"determinism",
     [](Options& o, std::string_view n, std::string_view v) {
       o.determinism = one_of(n, v, {Determinism::run_to_run, Determinism::batch_invariant});
     }},
    {"tuning",
     [](Options& o, std::string_view n, std::string_view v) {
       o.tuning = one_of(n, v, {Tuning::off, Tuning::cached, Tuning::measure});
     }},
    {"hard_sigmoid",
     [](Options& o, std::string_view n, std::string_view v) {
       o.hard_sigmoid = one_of(n, v, {HardSigmoid::as_written, HardSigmoid::keras2, HardSigmoid::keras3});
     }},
    {"engine", [](Options& o, std::string_view, std::string_view v) { o.engine = std::string(v); }},
    {"threads", [](Options& o, std::string_view n, std::string_view v) { o.threads = whole_number<int>(n, v); }},
    {"max_batch", [](Options& o, std::string_view n, std::string_view v) { o.max_batch = whole_number<std::int64_t>(n, v); }},
    {"cached_programs",
     [](Options& o, std::string_view n, std::string_view v) { o.cached_programs = whole_number<std::size_t>(n, v); }},
    {"memory_limit",
     [](Options& o, std::string_view n, std::string_view v) { o.memory_limit = whole_number<std::size_t>(n, v); }},
    {"graphs", [](Options& o, std::string_view n, std::string_view v) { o.graphs = truth(n, v); }},
    {"profile", [](Options& o, std::string_view n, std::string_view v) { o.profile = truth(n, v); }},
    {"updatable", [](Options& o, std::string_view n, std::string_view v) { o.updatable = truth(n, v); }},
};

void set(Options& options, std::string_view option, std::string_view value) {
  std::string allowed;
  for (const auto& [name, setter] : kSetters) {
    if (name == option) return setter(options, option, value);
    allowed += core::format("{}{}", allowed.empty() ? "" : ", ", name);
  }
  core::throw_argument(ErrorCode::value,
                       core::format("[{}] no option is named '{}'; known: {}", kSet, core::escaped(option), allowed));
}

}  // namespace
}  // namespace lamella::c

int32_t lamella_abi_version(void) { return LAMELLA_ABI_VERSION; }

const char* lamella_version(void) { return lamella::version().data(); }

lamella_error* lamella_options_create(lamella_options** options) {
  return lamella::c::guarded([&] {
    lamella::c::expect(options, "lamella_options_create", "options");
    *options = new lamella_options;
  });
}

lamella_error* lamella_options_set(lamella_options* options, const char* name, const char* value) {
  return lamella::c::guarded([&] {
    for (const auto& [pointer, argument] :
         {std::pair<const void*, const char*>(options, "options"), {name, "name"}, {value, "value"}})
      lamella::c::expect(pointer, lamella::c::kSet, argument);
    lamella::c::set(options->options, name, value);
  });
}

void lamella_options_free(lamella_options* options) { delete options; }
