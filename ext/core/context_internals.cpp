#include "context_internals.hpp"

#include "llama-context.h"

namespace mullama {

void apply_pending(llama_context * context) {
    context->synchronize();
    context->memory_update(false);
}

CacheSettings cache_settings(const llama_context * context) {
    const llama_cparams & raw = context->get_cparams();
    return {!raw.flash_attn,
            static_cast<int32_t>(raw.rope_scaling_type),
            raw.n_ctx_orig_yarn,
            {raw.rope_freq_base, raw.rope_freq_scale, raw.yarn_ext_factor, raw.yarn_attn_factor, raw.yarn_beta_fast,
             raw.yarn_beta_slow}};
}

} // namespace mullama
