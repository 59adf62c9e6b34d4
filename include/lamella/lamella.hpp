// SPDX-License-Identifier: Apache-2.0
/// The whole public interface of lamella.
#pragma once

#include <lamella/activation.hpp>
#include <lamella/architecture.hpp>
#include <lamella/device.hpp>
#include <lamella/dtype.hpp>
#include <lamella/error.hpp>
#include <lamella/feature_layers.hpp>
#include <lamella/initializer.hpp>
#include <lamella/layer.hpp>
#include <lamella/layers.hpp>
#include <lamella/log.hpp>
#include <lamella/model.hpp>
#include <lamella/models.hpp>
#include <lamella/normalization_layers.hpp>
#include <lamella/npy.hpp>
#include <lamella/options.hpp>
#include <lamella/product_layers.hpp>
#include <lamella/shape.hpp>
#include <lamella/tensor.hpp>
#include <lamella/version.hpp>
#include <lamella/weights.hpp>
