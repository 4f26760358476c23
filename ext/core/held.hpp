// Tokens that are not sent yet, because a banned string may begin in them.
#pragma once

#include "constraint.hpp"
#include "sampling.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mullama {

// All that is needed to choose the token at one place of the answer, and to choose again.
struct Draw {
    std::vector<float> logits;
    Sampler::State before;
    std::shared_ptr<const Constraint> constraint;
    std::vector<llama_token> forbidden;
    llama_pos position = 0; // of the chosen token
    int32_t rows = 0;       // in the KV cache before it
};

struct HeldToken {
    llama_token token = 0;
    std::string bytes;
    std::optional<TokenLogprobs> logprobs;
    Draw draw;
};

class HeldTokens {
  public:
    explicit HeldTokens(std::vector<std::string> banned) : banned_(std::move(banned)) {}

    bool active() const { return !banned_.empty(); }
    size_t size() const { return tokens_.size(); }
    void push(HeldToken token) { tokens_.push_back(std::move(token)); }

    // If the text held contains a banned string: takes back the token it begins in, drops those after.
    std::optional<HeldToken> take_back();

    // The first token, once no banned string can begin in it.
    std::optional<HeldToken> release();
    std::optional<HeldToken> release_any(); // whatever may begin in it

    // The cache lost so many rows and positions before all of these.
    void forgot(int32_t rows, llama_pos positions) {
        for (HeldToken & token : tokens_) {
            token.draw.rows -= rows;
            token.draw.position -= positions;
        }
    }

    void clear() { tokens_.clear(); }

  private:
    std::string text() const;

    std::vector<std::string> banned_;
    std::deque<HeldToken> tokens_;
};

} // namespace mullama
