// EngineParams as llama.cpp wants them.
#pragma once

#include "llama.h"

#include <cstdint>
#include <string>

namespace mullama {

struct EngineParams;

// The part of EngineParams that few people touch. Zero or negative: what the model says.
struct ContextTuning {
    std::string rope_scaling = "model"; // model | none | linear | yarn | longrope
    float rope_freq_base = 0.0F;
    float rope_freq_scale = 0.0F;
    float yarn_ext_factor = -1.0F;
    float yarn_attn_factor = -1.0F;
    float yarn_beta_fast = -1.0F;
    float yarn_beta_slow = -1.0F;
    int32_t yarn_orig_ctx = 0;
    bool op_offload = true;
    bool swa_full = true;
};

llama_flash_attn_type flash_attention_of(const std::string & name); // auto, on, off
ggml_type cache_type_of(const std::string & name); // throws Error(invalid_option)

// Throws Error(invalid_option). n_ctx_train fills in for an n_ctx that was not given; 0 leaves that to
// llama.cpp.
llama_context_params context_params(const EngineParams & params, int32_t n_ctx_train);

} // namespace mullama
