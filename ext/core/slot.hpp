// One sequence of the context, what its KV cache holds, and the request that runs in it.
// Engine thread only.
#pragma once

#include "encoder.hpp"
#include "held.hpp"
#include "request.hpp"
#include "trace.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mullama {

class Slot {
  public:
    // active: counts the requests that run; generated: the tokens that are sent
    Slot(llama_seq_id seq, std::atomic<uint32_t> & active, std::atomic<uint64_t> & generated)
        : seq_(seq), active_(active), generated_(generated) {}

    llama_seq_id seq() const { return seq_; }
    bool idle() const { return !request_; }
    const Request & request() const { return *request_; }

    uint64_t session() const { return session_; } // that has reserved it; 0: none
    void set_session(uint64_t session) { session_ = session; }
    const std::shared_ptr<Stream> & stream() const { return request_->stream; }

    // What the cache was evaluated with, and goes on with.
    const Adapted & adapters() const { return adapters_; }
    const std::shared_ptr<const AdapterSet> & acting() const { return adapters_.at(trace_.rows()); }
    int32_t alike_rows() const; // from here on that acting() acts on
    // The cache: rows evaluated for this and, as far as they still fit, for earlier requests.
    Trace & trace() { return trace_; }
    const Trace & trace() const { return trace_; }
    uint64_t last_used() const { return last_used_; }
    // The cache was filled by other means than a request.
    void holds(Trace trace, Adapted adapters, uint64_t now) {
        trace_ = std::move(trace);
        adapters_ = std::move(adapters);
        last_used_ = now;
    }

    // Who was served here, and rows evaluated for them since the last call.
    const std::string & client() const { return client_; }
    uint64_t take_cost() { return std::exchange(cost_, 0); }

    // `prefix` of the prompt is in the cache already, and nothing else is.
    void admit(std::unique_ptr<Request> request, const Prefix & prefix, uint64_t now, const Model & model);

    // Prefill: what comes next in the prompt.
    bool prefilling() const { return request_ && chunk_ < request_->prompt->chunks.size(); }
    const PromptChunk & chunk() const { return request_->prompt->chunks[chunk_]; }
    int32_t offset() const { return offset_; } // rows of chunk() already in the KV cache
    bool last_chunk() const { return chunk_ + 1 == request_->prompt->chunks.size(); }
    // Where chunk() starts, or the next token goes.
    llama_pos position() const { return position_; }
    void advance(int32_t rows); // that many rows of chunk() were evaluated

    // Asks for the media from chunk() on that are not asked for yet, a few ahead.
    void want_media(Encoder & encoder);
    // The encoding of chunk(), a medium; null until it is there.
    const Encoding * encoding() const;

    // The prompt's tokens get their log-probabilities: every row's logits are wanted.
    bool scoring() const { return request_->scores_prompt(); }
    void score(int32_t row, const float * logits); // those of a row of chunk()

    // Decode: the token to evaluate next. Paused while nobody reads.
    bool ready_to_decode() const {
        return request_ && !prefilling() && !asking() && request_->stream->has_room();
    }
    llama_token next_token() const { return next_; }
    void token_evaluated();
    bool full(int32_t n_ctx) const { return trace_.rows() >= n_ctx; }
    // Tokens that may be guessed: what context, limits and stream take beside the next one.
    int32_t room(int32_t n_ctx) const;
    void count_guess(size_t guessed, size_t accepted);
    // Guess as many as lately were right: wrong ones cost time.
    int32_t worth_guessing(int32_t most) const { return guess_limit_ > 0 ? std::min(guess_limit_, most) : most; }
    void guessed(size_t accepted, size_t guessed, int32_t most);
    // The sequence's text: of the prompt, and generated and evaluated since.
    const std::vector<llama_token> & history() const { return history_; }
    int32_t prompt_rows() const { return request_->prompt->n_tokens; }
    void forgot(int32_t from, int32_t rows, llama_pos positions); // from the cache: it was shifted
    void lost(int32_t from, int32_t rows); // the cache, by hand

    // Logits that go through the reader's hands before a token is taken from them.
    void ask(const float * logits); // parks the request
    bool asking() const { return !asked_.empty(); }
    std::optional<std::vector<float>> answer(); // the changed logits, for sample()

    // Takes a token from the logits and sends what is certain; this may end the request.
    // The sequence then ends at position(): what the KV cache has beyond was taken back.
    void sample(const float * logits, const Model & model, int32_t n_ctx);
    bool went_back() const { return went_back_; } // the last sample() did

    // Ends the request and frees the slot; its cache stays.
    void finish(Finish finish, std::optional<Error> error = std::nullopt);

    const Timings & timings() const { return timings_; }

  private:
    llama_token choose(Draw & draw, const float * logits, const Model & model);
    // The text that stands for a token in the answer: the names of control tokens only where the
    // prompt's format reads them.
    std::string piece(llama_token token, const Model & model) const;
    void go_back(const Draw & draw, size_t dropped);
    bool is_end(llama_token token, const Model & model) const;
    bool send(HeldToken held); // false after a stop string
    void list_prompt(const Model & model);

    const llama_seq_id seq_;
    uint64_t session_ = 0;
    std::atomic<uint32_t> & active_;
    std::atomic<uint64_t> & generated_;
    Trace trace_;
    uint64_t last_used_ = 0;
    std::string client_;
    Adapted adapters_;
    uint64_t cost_ = 0;

    std::unique_ptr<Request> request_;
    std::unique_ptr<HeldTokens> held_;
    size_t chunk_ = 0;
    int32_t offset_ = 0;
    llama_pos position_ = 0;
    struct Ahead {
        size_t chunk;
        std::shared_ptr<const Encoding> encoding;
        bool fresh;
    };
    std::deque<Ahead> ahead_; // media from chunk_ on, in order
    size_t media_asked_ = 0;  // chunks before this one were asked for or need no encoder
    llama_token next_ = 0;
    std::vector<llama_token> history_;
    bool went_back_ = false;
    int32_t guess_limit_ = 0; // 0: none yet
    std::vector<TokenEvent> echo_;    // the tokens of the prompt's text, if the reader wants them
    size_t echo_chunk_ = 0;           // of those, where chunk() begins
    std::vector<float> asked_;        // the model's own logits, while asking()
    std::vector<llama_token> tokens_; // prompt and answer, where the reader is asked
    Clock::time_point admitted_;
    Clock::time_point first_token_;
    Timings timings_;
};

} // namespace mullama
