#include "fit.hpp"

#include "backend.hpp"
#include "gguf_check.hpp"
#include "guard.hpp"
#include "log.hpp"
#include "model_params.hpp"

#include "fit.h" // llama.cpp's common

#include <algorithm>
#include <mutex>

namespace mullama {

namespace {

// Upstream fits main memory in all; what others use of it counts too.
uint64_t used_by_others() {
    for (const Device & device : devices()) {
        if (device.kind == "cpu") {
            return device.memory_total - std::min(device.memory_free, device.memory_total);
        }
    }
    return 0;
}

bool has_gpu() {
    const auto all = devices();
    return std::any_of(all.begin(), all.end(), [](const Device & d) { return d.kind == "gpu" || d.kind == "igpu"; });
}

} // namespace

Fit fit_to_memory(const std::string & path, const ModelParams & model, const EngineParams & engine, uint64_t margin,
                  int32_t min_ctx) {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    check_model_file(path);
    RawModelParams given(model);
    llama_context_params context = context_params(engine, 0); // n_ctx 0: to be chosen
    const bool on_cpu = !has_gpu() || model.gpu_layers == 0;
    std::vector<size_t> margins(llama_max_devices(), margin + (on_cpu ? used_by_others() : 0));
    std::vector<float> split(llama_max_devices(), 0.0F);
    std::copy(model.tensor_split.begin(), model.tensor_split.end(), split.begin());
    std::vector<llama_model_tensor_buft_override> overrides(llama_max_tensor_buft_overrides(), {nullptr, nullptr});
    const LogScope log;
    const auto status = guarded(Errc::model_load, path, [&] {
        return common_fit_params(path.c_str(), &given.raw, &context, split.data(), overrides.data(), margins.data(),
                                 static_cast<uint32_t>(min_ctx), nullptr, GGML_LOG_LEVEL_ERROR);
    });
    install_log_handler(); // an abort may have left upstream's
    if (status == COMMON_PARAMS_FIT_STATUS_ERROR) {
        throw Error(Errc::model_load, "llama.cpp cannot measure it: " + log.reason(), path);
    }
    if (status != COMMON_PARAMS_FIT_STATUS_SUCCESS) {
        throw Error(Errc::model_load, "it does not fit the free memory", path,
                    "Ask for a smaller n_ctx or n_parallel, or take a smaller quantization");
    }
    Fit fit{model, engine};
    fit.model.gpu_layers = given.raw.n_gpu_layers;
    if (given.raw.tensor_split == split.data()) {
        fit.model.tensor_split.assign(split.begin(), split.end());
    }
    if (given.raw.tensor_buft_overrides == overrides.data()) {
        for (const auto & rule : overrides) {
            if (rule.pattern == nullptr) {
                break;
            }
            fit.model.override_tensors.push_back(std::string(rule.pattern) + "=" + ggml_backend_buft_name(rule.buft));
        }
    }
    fit.engine.n_ctx = static_cast<int32_t>(context.n_ctx / context.n_seq_max);
    return fit;
}

} // namespace mullama
