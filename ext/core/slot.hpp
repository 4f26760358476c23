// One sequence of the context and the request that runs in it. Engine thread only.
#pragma once

#include "held.hpp"
#include "request.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace mullama {

class Slot {
  public:
    // generated: counts the tokens that are sent
    Slot(llama_seq_id seq, std::atomic<uint64_t> & generated) : seq_(seq), generated_(generated) {}

    llama_seq_id seq() const { return seq_; }
    bool idle() const { return !request_; }
    const std::shared_ptr<Stream> & stream() const { return request_->stream; }
    const Request & request() const { return *request_; }

    void admit(std::unique_ptr<Request> request);

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
    bool ready_to_decode() const {
        return request_ && !prefilling() && !asking() && request_->stream->has_room();
    }
    llama_token next_token() const { return next_; }
    void token_evaluated();

    // Logits that go through the reader's hands before a token is taken from them.
    void ask(const float * logits);                // parks the request
    bool asking() const { return !asked_.empty(); }
    std::optional<std::vector<float>> answer(); // the changed logits, for sample()

    // Takes a token from the logits and sends what is certain. True when the request has ended.
    // The sequence then ends at position(): what the KV cache has beyond was taken back.
    bool sample(const float * logits, const Model & model, int32_t n_ctx);
    bool take_went_back() { return std::exchange(went_back_, false); }

    // Ends the request and frees the slot.
    void finish(Finish finish, std::optional<Error> error = std::nullopt);

  private:
    llama_token choose(Draw & draw, const float * logits);
    void go_back(const Draw & draw, size_t dropped);
    bool is_end(llama_token token, const Model & model) const;
    bool send(HeldToken held); // false after a stop string

    const llama_seq_id seq_;
    std::atomic<uint64_t> & generated_;
    std::unique_ptr<Request> request_;
    std::unique_ptr<HeldTokens> held_;
    size_t chunk_ = 0;
    int32_t offset_ = 0;
    llama_pos position_ = 0;
    int32_t rows_ = 0; // in the KV cache; more than position_ under M-RoPE
    llama_token next_ = 0;
    bool went_back_ = false;
    std::vector<float> asked_;        // the model's own logits, while asking()
    std::vector<llama_token> tokens_; // prompt and answer, where the reader is asked
    Clock::time_point admitted_;
    Clock::time_point first_token_;
    Timings timings_;
};

} // namespace mullama
