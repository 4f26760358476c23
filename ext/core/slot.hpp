// One sequence of the context and the request that runs in it. Engine thread only.
#pragma once

#include "constraint.hpp"
#include "prompt.hpp"
#include "sampling.hpp"
#include "stream.hpp"
#include "text.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace mullama {

using Clock = std::chrono::steady_clock;

struct Limits {
    int32_t max_tokens = -1;       // negative: until the context is full
    std::vector<std::string> stop; // strings that end the answer and are not part of it
    int32_t buffer_tokens = 64;    // events that may wait to be read before the request is paused
};

struct Request {
    std::shared_ptr<const Prompt> prompt;
    SamplingParams sampling;
    Limits limits;
    std::shared_ptr<Stream> stream;
    Clock::time_point submitted;
    std::unique_ptr<Constraint> constraint; // null: the answer is free
};

class Slot {
  public:
    explicit Slot(llama_seq_id seq) : seq_(seq) {}

    llama_seq_id seq() const { return seq_; }
    bool idle() const { return !request_; }
    const std::shared_ptr<Stream> & stream() const { return request_->stream; }

    void admit(std::unique_ptr<Request> request, const Model & model);

    // Prefill: what comes next in the prompt.
    bool prefilling() const { return request_ && chunk_ < request_->prompt->chunks.size(); }
    const PromptChunk & chunk() const { return request_->prompt->chunks[chunk_]; }
    int32_t offset() const { return offset_; } // rows of chunk() already in the KV cache
    bool last_chunk() const { return chunk_ + 1 == request_->prompt->chunks.size(); }
    llama_pos position() const { return position_; } // where chunk() starts, or the next token goes
    void advance(int32_t rows);                      // that many rows of chunk() were evaluated

    // The encoder's output for chunk(); empty until set, dropped when the chunk is done.
    std::vector<float> embeddings;
    void add_encode_time(double ms) { timings_.encode_ms += ms; }

    // Decode: the token to evaluate next. Paused while nobody reads.
    bool ready_to_decode() const { return request_ && !prefilling() && request_->stream->has_room(); }
    llama_token next_token() const { return next_; }
    void token_evaluated();

    // Takes a token from the logits and sends it. True when the request has ended.
    bool sample(const float * logits, const Model & model, int32_t n_ctx);

    // The text that stands for a token in the answer: the names of control tokens only where the
    // prompt's format reads them.
    std::string piece(llama_token token, const Model & model) const;

    // Ends the request and frees the slot.
    void finish(Finish finish, std::optional<Error> error = std::nullopt);

  private:
    const llama_seq_id seq_;
    std::unique_ptr<Request> request_;
    std::unique_ptr<Sampler> sampler_;
    std::unique_ptr<TextStream> text_;
    size_t chunk_ = 0;
    int32_t offset_ = 0;
    llama_pos position_ = 0;
    int32_t rows_ = 0; // in the KV cache; more than position_ under M-RoPE
    llama_token next_ = 0;
    Clock::time_point admitted_;
    Clock::time_point first_token_;
    Timings timings_;
};

double ms_between(Clock::time_point from, Clock::time_point to);

} // namespace mullama
