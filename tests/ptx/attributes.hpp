// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <cuda_runtime_api.h>

namespace ptx {

/// The attributes of a launch that are known here.
struct Attributes {
  bool overlaps = false;  ///< programmatic stream serialization
  unsigned cluster = 1;   ///< blocks along x
  bool known = true;      ///< there are no others
};

inline Attributes attributes_of(const cudaLaunchConfig_t& config) {
  Attributes result;
  for (const cudaLaunchAttribute& attribute : std::span(config.attrs, config.numAttrs)) {
    if (attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization) {
      result.overlaps = attribute.val.programmaticStreamSerializationAllowed != 0;
    } else if (attribute.id == cudaLaunchAttributeClusterDimension && attribute.val.clusterDim.y == 1 &&
               attribute.val.clusterDim.z == 1) {
      result.cluster = attribute.val.clusterDim.x;
    } else {
      result.known = false;
    }
  }
  return result;
}

}  // namespace ptx
