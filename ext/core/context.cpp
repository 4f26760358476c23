#include "context.hpp"

#include "backend.hpp"
#include "guard.hpp"
#include "log.hpp"

namespace mullama {

namespace {

ggml_type cache_type_of(const std::string & name) {
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                 GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1}) {
        if (name == ggml_type_name(type)) {
            return type;
        }
    }
    throw Error(Errc::invalid_option, "no such cache type: " + name, "cache_type");
}

} // namespace

llama_context_params context_params(const Model & model, const EngineParams & params,
                                    const std::atomic<bool> & closing) {
    llama_context_params raw = llama_context_default_params();
    const int32_t n_ctx = params.n_ctx > 0 ? params.n_ctx : model.n_ctx_train();
    raw.n_seq_max = static_cast<uint32_t>(params.n_parallel);
    raw.n_ctx = static_cast<uint32_t>(n_ctx) * raw.n_seq_max;
    raw.n_batch = static_cast<uint32_t>(params.n_batch);
    raw.n_ubatch = static_cast<uint32_t>(params.n_ubatch);
    raw.n_threads = params.threads > 0 ? params.threads : default_threads();
    raw.n_threads_batch = params.threads_batch > 0 ? params.threads_batch : raw.n_threads;
    raw.flash_attn_type = params.flash_attention == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                          : params.flash_attention == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                            : LLAMA_FLASH_ATTN_TYPE_AUTO;
    raw.type_k = cache_type_of(params.cache_type_k);
    raw.type_v = cache_type_of(params.cache_type_v);
    raw.offload_kqv = params.offload_kqv;
    raw.kv_unified = false; // each sequence has its own n_ctx and attends to nothing else
    raw.swa_full = params.swa_full;
    raw.no_perf = true;
    raw.abort_callback = [](void * flag) { return static_cast<const std::atomic<bool> *>(flag)->load(); };
    raw.abort_callback_data = const_cast<std::atomic<bool> *>(&closing); // only read
    return raw;
}

llama_context_ptr make_context(const Model & model, const EngineParams & params, const std::atomic<bool> & closing) {
    const LogScope log;
    llama_context_ptr context(guarded(Errc::model_load, model.path(), [&] {
        return llama_init_from_model(model.get(), context_params(model, params, closing));
    }));
    if (!context) {
        throw Error(Errc::model_load, "llama.cpp cannot make a context for it: " + log.reason(), model.path(),
                    "If memory is short, ask for a smaller n_ctx or n_parallel");
    }
    return context;
}

} // namespace mullama
