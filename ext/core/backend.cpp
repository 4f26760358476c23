#include "backend.hpp"

#include "guard.hpp"
#include "log.hpp"

#include "common.h" // llama.cpp's common
#include "ggml-backend.h"
#include "llama.h"

#include <algorithm>
#include <mutex>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace mullama {

namespace {

std::string kind_of(enum ggml_backend_dev_type type) {
    switch (type) {
        case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU: return "igpu";
        default: return "accel";
    }
}

// More threads than the process may run on make each of them wait for the others.
int allowed_cpus() {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return std::max(CPU_COUNT(&set), 1);
    }
#endif
    return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

} // namespace

void init_backends(const std::string & library_dir) {
    static std::once_flag once;
    std::call_once(once, [&] {
        install_log_handler();
        install_abort_handler();
        if (ggml_backend_reg_count() == 0) {
            ggml_backend_load_all_from_path(library_dir.c_str());
        }
        if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
            throw Error(Errc::model_load, "no CPU kernels that this processor can run", library_dir,
                        "Rebuild with -Ccmake.define.MULLAMA_CPU_VARIANTS=all");
        }
        llama_backend_init();
    });
}

std::vector<Device> devices() {
    std::vector<Device> found;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free = 0;
        size_t total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        found.push_back({ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                         kind_of(ggml_backend_dev_type(device)),
                         ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)), free, total});
    }
    return found;
}

std::vector<std::string> cpu_features() {
    std::vector<std::string> names;
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (cpu == nullptr) {
        return names;
    }
    auto * list = reinterpret_cast<ggml_backend_get_features_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_get_features"));
    if (list != nullptr) {
        for (auto * feature = list(ggml_backend_dev_backend_reg(cpu)); feature->name != nullptr; ++feature) {
            names.emplace_back(feature->name);
        }
    }
    return names;
}

int default_threads() { return std::min(common_cpu_get_num_math(), allowed_cpus()); }

} // namespace mullama
