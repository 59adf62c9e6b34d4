// SPDX-License-Identifier: Apache-2.0
#include "cuda/steps.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/kernels.hpp"
#include "ops/broadcast.hpp"

namespace lamella::cuda {
namespace {

static_assert(kernels::kMaxAxes >= Shape::kMaxRank);

/// The stride of src along each axis of dst, 0 where src is broadcast.
kernels::CombineSource source_of(const Shape& src, const Shape& dst) {
  kernels::CombineSource source;
  for (int axis = 0; axis < dst.rank(); ++axis) source.strides[axis] = src[axis] == 1 ? 0 : src.elements(axis + 1, src.rank());
  return source;
}

kernels::Sample sample_of(std::int64_t outer, const Shape& shape) {
  kernels::Sample sample{outer, shape.rank(), {}};
  std::copy(shape.begin(), shape.end(), sample.extents);
  return sample;
}

kernels::SampleConstant constant_of(const void* data, const Shape& constant, const Shape& sample) {
  kernels::SampleConstant result{data, {}};
  const auto strides = ops::constant_strides(constant, sample);
  std::copy(strides.begin(), strides.end(), result.strides);
  return result;
}

}  // namespace

PlanPtr plan(const ops::LayerNormalizationDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const DType c = compute_type(d.dtype);
  const auto gamma = d.has_gamma ? constant_on_device(constants, 0, c, c, context) : nullptr;
  const auto beta = d.has_beta ? constant_on_device(constants, d.has_gamma ? 1 : 0, c, c, context) : nullptr;
  return make_plan([d, gamma, beta, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::LayerNormalization rows{d.dtype, args.srcs[0], gamma.get(), beta.get(), args.dst,
                                           d.outer, d.length,     d.epsilon,   d.kind};
    check(kernels::layer_normalization(rows, handle_of(stream)), device, "layer_normalization kernel");
  });
}

PlanPtr plan(const ops::AffineDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const DType c = compute_type(d.dtype);
  const auto scale = constant_on_device(constants, 0, c, c, context);
  const auto offset = constant_on_device(constants, 1, c, c, context);
  const auto of_scale = constant_of(scale.get(), d.scale, d.sample);
  const auto of_offset = constant_of(offset.get(), d.offset, d.sample);
  return make_plan([dtype = d.dtype, sample = sample_of(d.outer, d.sample), scale, offset, of_scale, of_offset,
                    device = context.device_index](CudaStream& stream, const ops::Args& args) {
    check(kernels::affine(dtype, args.srcs[0], args.dst, sample, of_scale, of_offset, handle_of(stream)), device,
          "affine kernel");
  });
}

PlanPtr plan(const ops::PReluDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const auto alpha = constant_on_device(constants, 0, d.dtype, compute_type(d.dtype), context);
  const auto of_alpha = constant_of(alpha.get(), d.alpha, d.sample);
  return make_plan([dtype = d.dtype, sample = sample_of(d.outer, d.sample), alpha, of_alpha, device = context.device_index](
                       CudaStream& stream, const ops::Args& args) {
    check(kernels::prelu(dtype, args.srcs[0], args.dst, sample, of_alpha, handle_of(stream)), device, "prelu kernel");
  });
}

PlanPtr plan(const ops::CombineDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  kernels::Combine shape;
  shape.kind = d.kind;
  shape.dtype = d.dtype;
  std::vector<kernels::CombineSource> sources;
  if (std::all_of(d.srcs.begin(), d.srcs.end(), [&](const Shape& s) { return s == d.dst; })) {
    const Shape flat{d.dst.elements()};  // nothing is broadcast: one long row
    shape.axes = 1;
    shape.shape[0] = flat[0];
    sources.assign(d.srcs.size(), source_of(flat, flat));
    for (auto& source : sources) source.strides[0] = 1;
  } else {
    shape.axes = d.dst.rank();
    for (int axis = 0; axis < d.dst.rank(); ++axis) shape.shape[axis] = d.dst[axis];
    for (const Shape& src : d.srcs) sources.push_back(source_of(src, d.dst));
  }
  shape.sources = sources;
  const std::size_t workspace = kernels::combine_workspace(shape);
  const auto constant = d.constant < 0 ? nullptr : constant_on_device(constants, 0, d.dtype, d.dtype, context);
  const auto execute = [shape, sources, constant, place = static_cast<std::size_t>(d.constant), device = context.device_index](
                           CudaStream& stream, const ops::Args& args) {
    auto now = sources;
    for (std::size_t i = 0, given = 0; i < now.size(); ++i) {
      now[i].data = constant && i == place ? constant.get() : args.srcs[given++];
    }
    kernels::Combine combine = shape;
    combine.sources = now;
    combine.dst = args.dst;
    combine.workspace = args.workspace;
    check(kernels::combine(combine, handle_of(stream)), device, "combine kernel");
  };
  return make_plan(execute, workspace);
}

PlanPtr plan(const ops::InnerProductsDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  return make_plan([d, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::InnerProducts products{d.dtype, args.srcs[0], args.srcs[1], args.dst, d.batch, d.left, d.right, d.length};
    check(kernels::inner_products(products, handle_of(stream)), device, "inner_products kernel");
  });
}

PlanPtr plan(const ops::ReduceDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  return make_plan([d, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::Reduce reduce{d.kind, d.dtype, args.srcs[0], args.dst, d.outer, d.length, d.inner};
    check(kernels::reduce(reduce, handle_of(stream)), device, "reduce kernel");
  });
}

PlanPtr plan(const ops::GatherDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const auto table = constant_on_device(constants, 0, d.dtype, compute_type(d.dtype), context);
  return make_plan([d, table, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::Gather rows{d.dtype, d.index, args.srcs[0], table.get(), args.dst, d.indices, d.rows, d.width};
    check(kernels::gather(rows, handle_of(stream)), device, "gather kernel");
  });
}

PlanPtr plan(const ops::BucketDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const auto boundaries = constant_on_device(constants, 0, DType::float32, DType::float32, context);
  return make_plan([d, boundaries, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::Bucket bucket{
        d.from,     args.srcs[0], static_cast<const float*>(boundaries.get()), static_cast<std::int64_t*>(args.dst),
        d.elements, d.length};
    check(kernels::bucket(bucket, handle_of(stream)), device, "bucket kernel");
  });
}

PlanPtr plan(const ops::LookupDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const auto keys = constant_on_device(constants, 0, DType::int64, DType::int64, context);
  const auto values = constant_on_device(constants, 1, DType::int64, DType::int64, context);
  return make_plan([d, keys, values, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::Lookup lookup{static_cast<const std::int64_t*>(args.srcs[0]),
                                 static_cast<const std::int64_t*>(keys.get()),
                                 static_cast<const std::int64_t*>(values.get()),
                                 static_cast<std::int64_t*>(args.dst),
                                 d.elements,
                                 d.length,
                                 d.otherwise,
                                 d.hashes};
    check(kernels::lookup(lookup, handle_of(stream)), device, "lookup kernel");
  });
}

PlanPtr plan(const ops::HashDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  return make_plan([d, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::Hash hash{static_cast<const std::int64_t*>(args.srcs[0]), static_cast<std::int64_t*>(args.dst), d.elements,
                             d.rule};
    check(kernels::hash(hash, handle_of(stream)), device, "hash kernel");
  });
}

PlanPtr plan(const ops::CountDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  return make_plan([d, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    const kernels::Count count{d.dtype, d.index, args.srcs[0], args.dst, d.outer, d.length, d.depth, d.binary};
    check(kernels::count(count, handle_of(stream)), device, "count kernel");
  });
}

PlanPtr plan(const ops::ConcatDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  std::vector<std::size_t> bytes;
  for (const std::int64_t extent : d.extents) bytes.push_back(static_cast<std::size_t>(extent) * size_of(d.dtype));
  const std::size_t row = std::accumulate(bytes.begin(), bytes.end(), std::size_t{0});
  return make_plan([bytes, row, outer = static_cast<std::size_t>(d.outer), device = context.device_index](CudaStream& stream,
                                                                                                          const ops::Args& args) {
    std::size_t at = 0;
    for (std::size_t k = 0; k < bytes.size(); at += bytes[k++]) {
      if (bytes[k] == 0 || outer == 0) continue;
      check(cudaMemcpy2DAsync(static_cast<std::byte*>(args.dst) + at, row, args.srcs[k], bytes[k], bytes[k], outer,
                              cudaMemcpyDeviceToDevice, handle_of(stream)),
            device, "cudaMemcpy2DAsync");
    }
  });
}

PlanPtr plan(const ops::SliceDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  kernels::StridedCopy shape;
  shape.element_bytes = static_cast<int>(size_of(d.dtype));
  shape.axes = d.dst.rank();
  std::int64_t start = 0;
  for (int axis = 0; axis < d.dst.rank(); ++axis) {
    const auto k = static_cast<std::size_t>(axis);
    const std::int64_t stride = d.src.elements(axis + 1, d.src.rank());
    shape.shape[axis] = d.dst[axis];
    shape.strides[axis] = d.steps[k] * stride;
    start += d.starts[k] * stride * shape.element_bytes;
  }
  return make_plan([shape, start, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    kernels::StridedCopy copy = shape;
    copy.src = static_cast<const std::byte*>(args.srcs[0]) + start;
    copy.dst = args.dst;
    check(kernels::strided_copy(copy, handle_of(stream)), device, "strided copy kernel");
  });
}

PlanPtr plan(const ops::TransposeDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  kernels::Transpose shape;
  shape.element_bytes = static_cast<int>(size_of(d.dtype));
  shape.axes = d.src.rank();
  for (int axis = 0; axis < d.src.rank(); ++axis) {
    shape.shape[axis] = d.src[axis];
    shape.permutation[axis] = d.permutation[static_cast<std::size_t>(axis)];
  }
  return make_plan([shape, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    kernels::Transpose transpose = shape;
    transpose.src = args.srcs[0];
    transpose.dst = args.dst;
    check(kernels::transpose(transpose, handle_of(stream)), device, "transpose kernel");
  });
}

PlanPtr plan(const ops::CastDesc& d, const ConstantsPtr&, const ops::PlanContext& context) {
  return make_plan([d, device = context.device_index](CudaStream& stream, const ops::Args& args) {
    check(kernels::cast(d.from, d.to, args.srcs[0], args.dst, d.elements, handle_of(stream)), device, "cast kernel");
  });
}

}  // namespace lamella::cuda
