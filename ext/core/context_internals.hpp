// What llama.cpp knows about a context and offers no public way to ask. context_internals.cpp alone
// includes its src/.
#pragma once

#include "llama.h"

#include <array>
#include <cstdint>

namespace mullama {

// Shifts and copies between sequences are put off until the next evaluation; the bytes of the cache
// are those of before. This does them now.
void apply_pending(llama_context * context);

struct CacheSettings {
    bool transposed_values = false; // without flash attention
    int32_t rope_scaling = 0;
    uint32_t yarn_orig_ctx = 0;
    std::array<float, 6> rope{}; // base and scale of the frequencies; YaRN: ext, attn, beta fast, slow
};

// As they are in use, whatever was asked for.
CacheSettings cache_settings(const llama_context * context);

} // namespace mullama
