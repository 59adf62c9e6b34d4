// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"

NB_MODULE(_core, module) {
  using namespace lamella;
  namespace nb = nanobind;
  module.doc() = "The C++ part of lamella; its names belong to the package alone.";
  module.attr("version") = std::string(version());
  python::import_numpy();
  python::translate_errors();
  python::bind_model(module);
  python::bind_layers(module);
  module.def("available_devices", [] {
    std::vector<std::string> names;
    for (const Device device : available_devices()) names.push_back(to_string(device));
    return names;
  });
  module.def("why_no_cuda", &why_no_cuda);
  module.def("helpers_made", &python::helpers_made);
  module.def("set_log_function", &python::set_log_function, nb::arg("function").none());
  module.def("describe", [](const std::string& device) { return describe(Device::parse(device)); });
  module.def("to_device", [](const python::AnyArray& array, const std::string& device) {
    return python::to_dlpack(Tensor::copy_of(python::dlpack_view(array)).to(Device::parse(device)));
  });
}
