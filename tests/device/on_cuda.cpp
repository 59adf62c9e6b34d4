// SPDX-License-Identifier: Apache-2.0
#include "device/test_device.hpp"

lamella::Device lamella::test::device() { return Device::cuda(0); }
