// Turning logits into a token: one chain per request.
#pragma once

#include "llama-cpp.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace mullama {

// Defaults, docs and ranges live in mullama_media/engine/sampling.py; these are only carried.
struct SamplingParams {
    float temperature = 0.0F;
    int32_t top_k = 0;
    float top_p = 1.0F;
    float min_p = 0.0F;
    float repeat_penalty = 1.0F;
    float frequency_penalty = 0.0F;
    float presence_penalty = 0.0F;
    int32_t penalty_last_n = 0;
    int64_t seed = -1; // negative: a fresh one
    int32_t logprobs = -1; // report the chosen token's log-probability and this many alternatives
};

struct TokenLogprobs {
    float chosen = 0.0F;
    std::vector<std::pair<llama_token, float>> top; // best first
};

class TokenMask;

// Decides which tokens may come next (a grammar at work, see constraint.hpp).
class TokenFilter {
  public:
    virtual ~TokenFilter() = default;
    virtual bool allows(llama_token token) = 0;
    virtual const TokenMask & allowed() = 0; // every token that is not refused so far
};

// The state of one request's chain; used by the engine's thread only.
class Sampler {
  public:
    Sampler(const SamplingParams & params, int32_t n_vocab);

    // A prompt token: the penalties count it.
    void remember(llama_token token);

    // logits: n_vocab floats, unchanged. The token is remembered for the penalties. With a filter:
    // one it allows, LLAMA_TOKEN_NULL if there is none. The vocabulary is held against the filter
    // only when the first choice is refused.
    llama_token sample(const float * logits, TokenFilter * filter = nullptr);

    // Of the model's own distribution, before any sampler. Empty `top` when not asked for.
    TokenLogprobs logprobs(const float * logits, llama_token token) const;

    bool wants_logprobs() const { return params_.logprobs >= 0; }
    uint32_t seed() const { return seed_; }

  private:
    llama_token pick(const float * logits, const TokenMask * allowed);

    SamplingParams params_;
    int32_t n_vocab_;
    uint32_t seed_;
    bool plain_greedy_; // no chain needed: the largest logit wins
    llama_sampler_ptr chain_;
    std::vector<llama_token_data> candidates_;
};

} // namespace mullama
