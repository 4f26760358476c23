// Turning logits into a token: one sampler per request.
#pragma once

#include "llama-cpp.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mullama {

class Model;

// Defaults, docs and ranges live in mullama_media/engine/sampling.py; these are only carried.
struct SamplingParams {
    float temperature = 0.0F;
    float dynamic_temperature_range = 0.0F;
    float dynamic_temperature_exponent = 1.0F;
    int32_t top_k = 0;
    float top_p = 1.0F;
    float min_p = 0.0F;
    float typical_p = 1.0F;
    float tfs_z = 1.0F;
    float top_n_sigma = 0.0F;
    float xtc_probability = 0.0F;
    float xtc_threshold = 0.1F;
    int32_t min_keep = 1;
    int32_t mirostat = 0;
    float mirostat_tau = 5.0F;
    float mirostat_eta = 0.1F;
    float adaptive_p_target = -1.0F; // negative: off
    float adaptive_p_decay = 0.9F;
    float repeat_penalty = 1.0F;
    float frequency_penalty = 0.0F;
    float presence_penalty = 0.0F;
    int32_t penalty_last_n = 0;
    float dry_multiplier = 0.0F;
    float dry_base = 1.75F;
    int32_t dry_allowed_length = 2;
    int32_t dry_penalty_last_n = 0;
    std::vector<std::string> dry_sequence_breakers;
    std::vector<std::pair<llama_token, float>> logit_bias;
    std::vector<std::string> banned_strings;
    int32_t min_tokens = 0;
    std::vector<std::string> samplers; // the chain, in order
    int64_t seed = -1;                 // negative: a fresh one
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

// The state of one request's sampling. Used by one thread at a time.
class Sampler {
  public:
    // What the next draw depends on besides the logits.
    struct State {
        llama_sampler_ptr chain;
    };

    // model: whose tokens these are. It may be null; options that read the text of tokens are then
    // an error. Slow with DRY or banned strings (they read the vocabulary): not for the engine's
    // thread. Throws Error(invalid_option).
    Sampler(const SamplingParams & params, int32_t n_vocab, const Model * model = nullptr);

    // A prompt token: the penalties count it.
    void remember(llama_token token);

    // logits: n_vocab floats, unchanged. forbidden: tokens that may not be drawn this time.
    // With a filter: one it allows, LLAMA_TOKEN_NULL if there is none; the vocabulary is held against
    // the filter only when the first choice is refused. Throws Error(decode) when no token is left.
    llama_token sample(const float * logits, const std::vector<llama_token> & forbidden = {},
                       TokenFilter * filter = nullptr);

    // The token was taken as the next one.
    void accept(llama_token token);

    // What sample() would draw from, with probabilities; no state changes.
    std::vector<llama_token_data> apply(const float * logits) const;

    // Of the model's own distribution, before any sampler. Empty `top` when not asked for.
    TokenLogprobs logprobs(const float * logits, llama_token token) const;

    State save() const;
    void restore(const State & state); // may be called with one state any number of times

    bool wants_logprobs() const { return params_.logprobs >= 0; }
    int32_t n_vocab() const { return n_vocab_; }
    uint32_t seed() const { return seed_; }

  private:
    void fill(const float * logits, const std::vector<llama_token> & forbidden,
              const TokenMask * allowed, std::vector<llama_token_data> & candidates) const;
    llama_token pick(const float * logits, const std::vector<llama_token> & forbidden, const TokenMask * allowed);

    SamplingParams params_;
    int32_t n_vocab_;
    uint32_t seed_;
    bool greedy_;             // the largest logit wins
    llama_sampler_ptr chain_; // null when there is nothing to do but to take the largest
    std::vector<llama_token> never_; // tokens that contain a banned string
    std::vector<llama_token_data> candidates_;
};

} // namespace mullama
