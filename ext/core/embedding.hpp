// From the hidden states of a text to what stands for it: one vector, one a token, or scores.
#pragma once

#include "model.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mullama {

struct Prompt;

// How a request for scores waits, and what happens to texts that are too long.
struct ScoreParams {
    bool truncate = false;    // cut what is too long instead of refusing it
    int64_t max_time_ms = -1; // from submission on; negative: for as long as it takes
    int32_t priority = 0;     // as in Limits
    std::string client;
};

struct EmbeddingParams : ScoreParams {
    std::string pooling;    // none | mean | cls | last; empty: the engine's
    bool normalize = true;  // to length 1
    int32_t dimensions = 0; // the first ones only; 0: all
};

struct Embedding {
    int32_t rows = 0; // 1, or one a token
    int32_t width = 0;
    std::vector<float> values;       // rows * width, row-major
    std::vector<llama_token> tokens; // of the text; -1 for each row of a medium
};

enum class Pooling {
    none, // every row
    mean, // of all rows
    cls,  // the first row
    last, // the last row
    rank, // scores of the model's classification head, which takes a row of its own choice
};

// How an engine makes embeddings: `asked` with "model" replaced by what the model's file says. Throws
// Error(invalid_option | model_capability) where the model cannot.
std::string pooling_of(const Model & model, const std::string & asked);

// Takes the rows of one text as they are evaluated, in order.
class Pooler {
  public:
    // kind: not rank. width: of a row. Throws Error(invalid_option).
    Pooler(Pooling kind, int32_t width, const Prompt & prompt, const EmbeddingParams & params);
    // For scores, of which there are `width`.
    Pooler(int32_t width, const Prompt & prompt);

    bool ranks() const { return kind_ == Pooling::rank; }
    bool wants_all() const { return kind_ != Pooling::last && kind_ != Pooling::rank; } // else the last row
    void add(const float * row); // for rank: the scores, once
    Embedding take();            // once, after the last row

  private:
    void finish(float * row) const;

    const Pooling kind_;
    const int32_t width_;
    const bool normalize_ = false;
    const int32_t dimensions_;
    int32_t rows_ = 0;
    std::vector<double> sum_;
    Embedding out_;
};

// The text a reranker judges: what the file has as template "rerank", or query and document between
// the vocabulary's own borders, as llama-server does it. Neither can act as a control token. limit:
// the document is cut to make them fit so many tokens; 0: it never is. Throws Error(invalid_option |
// context_overflow | chat_template).
std::shared_ptr<const Prompt> prompt_of_pair(const Model & model, const std::string & query,
                                             const std::string & document, int32_t limit);

// The prompt, or its beginning if it has more than `limit` tokens; an end token that the vocabulary
// adds stays. It must be text alone.
std::shared_ptr<const Prompt> truncated(std::shared_ptr<const Prompt> prompt, const Model & model, int32_t limit);

} // namespace mullama
