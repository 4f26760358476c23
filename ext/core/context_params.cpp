#include "context_params.hpp"

#include "backend.hpp"
#include "engine.hpp"

#include <map>

namespace mullama {

namespace {

llama_rope_scaling_type rope_scaling_of(const std::string & name) {
    static const std::map<std::string, llama_rope_scaling_type> types = {
        {"model", LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED}, {"none", LLAMA_ROPE_SCALING_TYPE_NONE},
        {"linear", LLAMA_ROPE_SCALING_TYPE_LINEAR},     {"yarn", LLAMA_ROPE_SCALING_TYPE_YARN},
        {"longrope", LLAMA_ROPE_SCALING_TYPE_LONGROPE},
    };
    const auto found = types.find(name);
    if (found == types.end()) {
        throw Error(Errc::invalid_option, "no such RoPE scaling: " + name, "rope_scaling");
    }
    return found->second;
}

} // namespace

ggml_type cache_type_of(const std::string & name) {
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                 GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1}) {
        if (name == ggml_type_name(type)) {
            return type;
        }
    }
    throw Error(Errc::invalid_option, "no such cache type: " + name, "cache_type");
}

llama_flash_attn_type flash_attention_of(const std::string & name) {
    return name == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
           : name == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                           : LLAMA_FLASH_ATTN_TYPE_AUTO;
}

llama_context_params context_params(const EngineParams & params, int32_t n_ctx_train) {
    llama_context_params raw = llama_context_default_params();
    const int32_t n_ctx = params.n_ctx > 0 ? params.n_ctx : n_ctx_train;
    raw.n_seq_max = static_cast<uint32_t>(params.n_parallel);
    raw.n_ctx = static_cast<uint32_t>(n_ctx) * raw.n_seq_max;
    raw.n_batch = static_cast<uint32_t>(params.n_batch);
    raw.n_ubatch = static_cast<uint32_t>(params.n_ubatch);
    raw.n_threads = params.threads > 0 ? params.threads : default_threads();
    raw.n_threads_batch = params.threads_batch > 0 ? params.threads_batch : raw.n_threads;
    raw.flash_attn_type = flash_attention_of(params.flash_attention);
    raw.type_k = cache_type_of(params.cache_type_k);
    raw.type_v = cache_type_of(params.cache_type_v);
    raw.offload_kqv = params.offload_kqv;
    raw.op_offload = params.op_offload;
    raw.swa_full = params.swa_full;
    raw.rope_scaling_type = rope_scaling_of(params.rope_scaling);
    raw.rope_freq_base = params.rope_freq_base;
    raw.rope_freq_scale = params.rope_freq_scale;
    raw.yarn_ext_factor = params.yarn_ext_factor;
    raw.yarn_attn_factor = params.yarn_attn_factor;
    raw.yarn_beta_fast = params.yarn_beta_fast;
    raw.yarn_beta_slow = params.yarn_beta_slow;
    raw.yarn_orig_ctx = static_cast<uint32_t>(params.yarn_orig_ctx);
    raw.embeddings = params.pooling != "off";
    raw.pooling_type = params.pooling == "off" || params.pooling == "model" ? LLAMA_POOLING_TYPE_UNSPECIFIED
                       : params.pooling == "rank"                           ? LLAMA_POOLING_TYPE_RANK
                                                                            : LLAMA_POOLING_TYPE_NONE;
    raw.kv_unified = false; // each sequence has its own n_ctx and attends to nothing else
    raw.no_perf = true;
    return raw;
}

} // namespace mullama
