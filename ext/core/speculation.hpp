// Guessing tokens cheaply, so that the model checks several in one evaluation. The guesses come from
// llama.cpp's common/speculative: the text so far (n-gram lookup) or a draft model.
#pragma once

#include "model.hpp"

#include <memory>
#include <vector>

struct common_batch;
struct common_speculative;

namespace mullama {

struct SpeculativeParams {
    std::string kind = "off"; // off | lookup | draft | mtp
    int32_t draft_max = 8;    // tokens guessed at once
    float draft_p_min = 0.5F; // a draft model stops guessing below this probability
    int32_t lookup_ngram = 3; // tokens that must have occurred before
};

// One sequence's wish for a guess, and the guess.
struct Guess {
    llama_seq_id seq = 0;
    llama_pos position = 0;                      // where `last` goes
    llama_token last = 0;                        // sampled, not yet evaluated
    const std::vector<llama_token> * history = nullptr; // the sequence's text before `last`
    int32_t most = 0;
    std::vector<llama_token> tokens;             // the result
};

// Engine thread only. Mirrors what happens to the target's sequences in the draft's own cache.
class Speculation {
  public:
    // draft may be null for lookup and mtp. Throws Error(model_capability) if it does not fit.
    Speculation(const SpeculativeParams & params, llama_context * target, const Model & model,
                std::shared_ptr<const Model> draft, const llama_context_params & like);
    ~Speculation();

    void begin(llama_seq_id seq, const std::vector<llama_token> & history);
    void guess(std::vector<Guess> & guesses);
    bool evaluated(const common_batch & batch); // by the target
    void accepted(llama_seq_id seq, size_t count);

    void keep_until(llama_seq_id seq, llama_pos end);
    void copy(llama_seq_id from, llama_seq_id to);
    void shift(llama_seq_id seq, llama_pos from, llama_pos gone);

  private:
    struct Deleter {
        void operator()(common_speculative * speculative) const;
    };
    SpeculativeParams params_;
    std::shared_ptr<const Model> draft_;
    llama_context_ptr context_; // the draft model's, or the target's own further layers (mtp)
    std::unique_ptr<common_speculative, Deleter> speculative_;
};

} // namespace mullama
