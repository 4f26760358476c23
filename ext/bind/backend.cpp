#include "backend.hpp"
#include "bind.hpp"
#include "log.hpp"

#include "llama.h"

using namespace nb::literals;

namespace mullama::bind {

void bind_backend(nb::module_ & module) {
    module.attr("VERSION") = MULLAMA_VERSION;
    module.attr("LLAMA_CPP_PIN") = MULLAMA_PIN;
    module.attr("LLAMA_CPP_VERSION") = llama_version();

    nb::class_<Device>(module, "Device", "A device that can hold layers. Memory in bytes.")
        .def_ro("name", &Device::name)
        .def_ro("description", &Device::description)
        .def_ro("kind", &Device::kind, "cpu, gpu, igpu or accel")
        .def_ro("backend", &Device::backend)
        .def_ro("memory_free", &Device::memory_free)
        .def_ro("memory_total", &Device::memory_total);

    module.def("init_backends", &init_backends, "library_dir"_a, nb::call_guard<nb::gil_scoped_release>(),
               "Load the backends in a folder; once per process.");
    module.def("set_log_level", [](int level) { set_log_level(static_cast<LogLevel>(level)); }, "level"_a,
               "What llama.cpp logs goes to stderr: 0 nothing, 1 errors, 2 warnings, 3 info, 4 debug.");
    module.def("devices", &devices);
    module.def("cpu_features", &cpu_features, "Instruction sets the loaded CPU kernels use.");
    module.def("default_threads", &default_threads);
}

} // namespace mullama::bind
