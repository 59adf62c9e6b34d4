// SPDX-License-Identifier: Apache-2.0
// x[a:b:c, i, newaxis, ...]
#include "keras/operations/operation.hpp"

namespace lamella::keras {
namespace {

constexpr std::int64_t kFar = std::int64_t{1} << 48U;

std::int64_t place(const Json& value, const char* what, const OperationFields& f) {
  const bool fits =
      value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{kFar});
  if (!fits || value.get<std::int64_t>() < -kFar)
    f.fail(ErrorCode::unsupported, "has a {} that is not an integer within 2^48", what);
  return value.get<std::int64_t>();
}

std::optional<std::int64_t> bound(const Json& config, const char* key, const OperationFields& f) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return std::nullopt;
  return place(*it, key, f);
}

core::SliceItem item_of(const Json& value, const OperationFields& f) {
  using ItemKind = core::SliceItem::Kind;
  core::SliceItem item;
  if (value.is_null()) {
    item.kind = ItemKind::new_axis;
  } else if (value.is_number_integer()) {
    item.kind = ItemKind::index;
    item.start = place(value, "index", f);
  } else if (value.is_object() && value.contains("class_name") && value.at("class_name") == Json("__ellipsis__")) {
    item.kind = ItemKind::ellipsis;
  } else if (value.is_object() && !is_tensor(value)) {
    const Json& config = value.contains("config") && value.at("config").is_object() ? value.at("config") : value;
    if (!config.contains("stop")) f.fail(ErrorCode::unsupported, "is supported with ranges, integers, None and ... only");
    item.start = bound(config, "start", f);
    item.stop = bound(config, "stop", f);
    item.step = bound(config, "step", f);
    if (item.step == 0) f.fail(ErrorCode::value, "has the step 0");
  } else {
    f.fail(ErrorCode::unsupported, "is supported with ranges, integers, None and ... only");
  }
  return item;
}

}  // namespace

core::LayerParams parse_slice(const OperationFields& f) {
  f.expect_only({});
  if (f.operands() != 2 || !is_tensor(f.operand(0))) f.fail(ErrorCode::value, "takes a tensor and a slice");
  core::SliceParams params;
  const Json* items = list_of(f.operand(1));
  if (items == nullptr) {
    params.items.push_back(item_of(f.operand(1), f));
  } else {
    if (items->size() > 2 * Shape::kMaxRank) f.fail(ErrorCode::limit, "names more than {} axes", 2 * Shape::kMaxRank);
    for (const Json& value : *items) params.items.push_back(item_of(value, f));
  }
  int ellipses = 0;
  for (const core::SliceItem& item : params.items) ellipses += item.kind == core::SliceItem::Kind::ellipsis ? 1 : 0;
  if (ellipses > 1) f.fail(ErrorCode::value, "has more than one ...");
  return params;
}

}  // namespace lamella::keras
