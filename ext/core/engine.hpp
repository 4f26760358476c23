// The one engine: a llama context, N sequences, and the thread that schedules them.
#pragma once

#include "commands.hpp"
#include "context_params.hpp"
#include "embedding.hpp"
#include "encoder.hpp"
#include "queue.hpp"
#include "grammar.hpp"
#include "saved.hpp"
#include "slot.hpp"
#include "speculation.hpp"

#include "common.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace mullama {

struct EngineParams : ContextTuning {
    int32_t n_ctx = 0;        // tokens per sequence; 0: what the model was trained for
    int32_t n_parallel = 1;   // sequences
    int32_t n_batch = 2048;   // most rows evaluated in one step
    int32_t n_ubatch = 512;   // rows evaluated at once
    int32_t prefill_chunk = 128; // prompt rows a step while other requests are decoding
    int32_t max_queue = 1024; // requests that may wait
    bool reuse_prefix = true; // begin prompts where the KV cache agrees with them
    std::string pooling = "off"; // embeddings: off | model | none | mean | cls | last | rank
    int32_t media_cache_mb = 256; // encoded media remembered
    SpeculativeParams speculative;
    int32_t threads = 0;      // for decode; 0: as many as the machine has for arithmetic
    int32_t threads_batch = 0; // for prefill; 0: the same
    std::string flash_attention = "auto"; // auto | on | off
    std::string cache_type_k = "f16";
    std::string cache_type_v = "f16";
    bool offload_kqv = true;
};

struct EngineCounters {
    uint64_t requests = 0;
    uint64_t prompt_tokens = 0;
    uint64_t reused_tokens = 0;
    uint64_t generated_tokens = 0;
    uint64_t drafted_tokens = 0;
    uint64_t accepted_tokens = 0;
    uint64_t steps = 0;
    uint64_t shifts = 0;
    uint64_t prefill_rows = 0; // evaluated of prompts, in all steps
    uint64_t decode_rows = 0;  // evaluated in steps without prompts
    uint64_t prefill_us = 0;   // in steps with rows of prompts; sampling not counted
    uint64_t decode_us = 0;    // in the other steps; likewise
    uint64_t sampling_us = 0;
    EncoderCounters media;
    uint32_t active = 0;
    uint32_t queued = 0;
};

class Engine {
  public:
    // Allocates the context and starts the thread. Throws Error(model_load | model_capability |
    // invalid_option). media and draft may be null.
    Engine(std::shared_ptr<const Model> model, std::shared_ptr<Media> media, const EngineParams & params,
           std::shared_ptr<const Model> draft);
    ~Engine(); // closes if close() was not called; prefer close(), which may block

    // Queues a request; never blocks. Throws Error(context_overflow | overloaded | engine_closed | grammar | ...).
    // grammar: what the answer may be; null for the one the prompt's tools ask for, if they do.
    std::shared_ptr<Stream> submit(std::shared_ptr<const Prompt> prompt, const SamplingParams & sampling,
                                   const Limits & limits, bool asks_for_logits = false, GrammarPtr grammar = nullptr,
                                   std::shared_ptr<const AdapterSet> adapters = nullptr, uint64_t session = 0);

    // Sessions: sequences reserved by hand (engine_session.cpp). All of these run between two steps of
    // the engine's thread and block until then. They throw Error(session) when the session is closed
    // or, but for describe() and close_session(), has a request that waits or runs.
    uint64_t open_session(); // Error(overloaded) when no sequence can be reserved
    void close_session(uint64_t session, bool wait); // cancels its requests; its cache stays as any other's
    Trace describe(uint64_t session);
    // Error(invalid_option | model_capability): the range, or what the memory cannot do.
    // Without `to`: to the end.
    void remove(uint64_t session, int32_t from, std::optional<int32_t> to, bool close_gap);
    void keep(uint64_t session, int32_t from, std::optional<int32_t> to, bool close_gap);
    uint64_t copy_session(uint64_t session);

    // States (engine_state.cpp). Error(state | model_capability | decode).
    StateWriter save(uint64_t session, std::string note);
    // Every idle sequence that holds something others may begin with, the freshest first.
    StateWriter save_idle(std::string note);
    // A session that alone begins with what was saved: someone who can write a state can put anything
    // into it, and must not reach the answers of others.
    uint64_t restore(const SavedState & saved, const std::shared_ptr<const AdapterSet> & adapters);
    // For everyone. As many as there are idle sequences, the first first; returns how many.
    int32_t restore_all(const SavedState & saved, const std::vector<std::shared_ptr<const AdapterSet>> & adapters);

    // Queue requests for embeddings or scores, one a prompt: all of them or none. Never block. Throw
    // Error(invalid_option | context_overflow | overloaded | engine_closed | model_capability).
    std::vector<std::shared_ptr<Stream>> embed(const std::vector<std::shared_ptr<const Prompt>> & prompts,
                                               const EmbeddingParams & params,
                                               std::shared_ptr<const AdapterSet> adapters = nullptr);
    std::vector<std::shared_ptr<Stream>> score(const std::vector<std::shared_ptr<const Prompt>> & prompts,
                                               const ScoreParams & params,
                                               std::shared_ptr<const AdapterSet> adapters = nullptr);

    // Ends every request with an engine_closed error and joins the thread: at most the rest of one
    // evaluation. Idempotent, thread-safe.
    void close();

    const std::shared_ptr<const Model> & model() const { return model_; }
    const std::shared_ptr<Media> & media() const { return media_; }
    const std::shared_ptr<Mailbox> & mailbox() const { return mailbox_; }
    int32_t n_ctx() const { return n_ctx_; } // tokens per sequence
    const std::string & pooling() const { return params_.pooling; } // what it was made with; never "model"
    int32_t max_embedding_tokens() const; // of one text
    EngineCounters counters() const;

  private:
    struct Output { // rows whose logits are wanted, and by whom
        Slot * slot;
        int32_t row;                    // the first
        std::vector<llama_token> guess; // what the rows after it hold
    };

    struct Prefilled { // rows of a slot's chunk, and where they are in the batch
        Slot * slot;
        int32_t rows;
        int32_t first;
    };
    // Puts them all into the queue, or throws.
    std::vector<std::shared_ptr<Stream>> enqueue(std::vector<std::unique_ptr<Request>> requests);
    void check_media(const Prompt & prompt) const;
    void check_session(uint64_t session) const; // that a request may be queued there
    std::shared_ptr<const Prompt> fitting(std::shared_ptr<const Prompt> prompt, bool truncate,
                                          const std::string & where) const;

    void run();
    void admit();
    bool worth_waiting(const Request & request) const;
    Prefix usable_prefix(const Slot & slot, const Request & request) const;
    Slot * prepare_slot(const Request & request, Prefix * prefix);
    bool keep_only(Slot & slot, const Prefix & prefix);
    void drop_ended(); // cancelled, or past their deadline
    std::chrono::milliseconds until_deadline() const; // the next one; at most a second
    bool resume();     // requests whose reader has answered
    bool step();
    bool timed_step();
    bool has_work(const Slot & slot) const;
    void take_turn();  // chooses whose adapters are applied
    bool in_turn(const Slot & slot) const { return same_set(slot.acting().get(), applied_.get()); }
    bool step_media(Slot & slot, int32_t budget);
    bool step_text(int32_t prefill_budget);
    Adapted adapted_whole(const std::shared_ptr<const AdapterSet> & set, const Prompt & prompt) const;
    int32_t text_rows(const Slot & slot) const; // of its chunk, that step_text() evaluates
    bool wants_states(const Slot & slot) const; // of the row that comes next
    int32_t step_states(int32_t budget);
    std::vector<std::pair<Slot *, int32_t>> share_states(int32_t budget);
    void keep_states(Slot & slot, int32_t first_row, int32_t rows, bool ends_prompt);
    void add_decode_rows(std::vector<Output> * outputs);
    void guess(std::vector<Output> * outputs);
    void check(const Output & output);
    bool make_room(Slot & slot);
    void score_rows(Slot & slot, int32_t first, int32_t from, int32_t rows);
    void sample(Slot & slot, int32_t row);
    void choose(Slot & slot, const float * logits);
    void end(Slot & slot, Finish finish, std::optional<Error> error = std::nullopt);
    void end(std::unique_ptr<Request> request, Finish finish, std::optional<Error> error = std::nullopt);
    void announce(const Stream & stream);
    void ring(); // what was announced in this step
    void fail_all(const Error & error);
    void give_up(const Error & error);
    int32_t process(bool states = false);

    void check_memory() const; // that there is a cache
    bool open_to(const Slot & slot, const Request & request) const; // idle, and not another's
    Slot * reservable(); // an idle sequence outside sessions, the one whose cache is needed least
    Slot & reserve();
    Slot & session_slot(uint64_t session);
    Slot & quiet_slot(uint64_t session); // nothing waits or runs there
    void forget(Slot & slot);
    void check_cut(const Slot & slot, int32_t from, int32_t to, bool close_gap) const;
    void cut(Slot & slot, int32_t from, int32_t to, bool close_gap);
    StateIdentity identity();
    TakenState take_state(const Slot & slot);
    void put_state(Slot & slot, const SavedSequence & saved, const std::vector<uint8_t> & blob,
                   std::shared_ptr<const AdapterSet> adapters);
    uint64_t restore_one(const SavedState & saved, const std::shared_ptr<const AdapterSet> & adapters);
    int32_t restore_idle(const SavedState & saved, const std::vector<std::shared_ptr<const AdapterSet>> & adapters);
    StateWriter writer(std::vector<TakenState> taken, std::string note);

    const std::shared_ptr<const Model> model_;
    const std::shared_ptr<Media> media_;
    EngineParams params_; // as the context came to be; constant from then on
    const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
    llama_context_ptr context_;
    common_batch batch_;
    std::unique_ptr<Encoder> encoder_;
    std::unique_ptr<Speculation> speculation_;
    int32_t n_ctx_ = 0;
    bool encoder_only_ = false; // no cache: it cannot generate
    bool whole_ = false;        // every row sees every other: a text is one evaluation
    bool learned_positions_ = false; // as many as it was trained with, and no more

    std::vector<Slot> slots_;         // engine thread
    std::unique_ptr<Request> admitting_; // engine thread: between queue and slot
    std::vector<std::shared_ptr<Bell>> bells_; // engine thread: of the loops with news in this step
    size_t next_media_ = 0;           // engine thread: whose medium comes next
    uint64_t clock_ = 0;              // engine thread: admissions so far
    std::shared_ptr<const AdapterSet> applied_; // engine thread: null: none
    bool plan_due_ = true;            // engine thread: the next batch plans its graph
    size_t next_turn_ = 0;            // engine thread
    int32_t steps_in_turn_ = 0;       // engine thread: with these adapters

    mutable std::mutex queue_mutex_;
    Queue queue_;
    uint64_t next_id_ = 1;
    bool closed_ = false;
    std::optional<Error> broken_; // set once the backend aborted; nothing runs after that

    Commands commands_;
    uint64_t next_session_ = 1; // engine thread
    std::set<uint64_t> sessions_; // open ones; guarded by queue_mutex_
    std::mutex identity_mutex_;
    std::optional<StateIdentity> identity_; // made when first needed

    std::atomic<bool> closing_{false};
    std::atomic<uint64_t> prompt_tokens_{0};
    std::atomic<uint64_t> reused_tokens_{0};
    std::atomic<uint64_t> generated_tokens_{0};
    std::atomic<uint64_t> drafted_tokens_{0};
    std::atomic<uint64_t> accepted_tokens_{0};
    std::atomic<uint64_t> steps_{0};
    std::atomic<uint64_t> shifts_{0};
    std::atomic<uint64_t> prefill_rows_{0};
    std::atomic<uint64_t> decode_rows_{0};
    std::atomic<uint64_t> prefill_us_{0};
    std::atomic<uint64_t> decode_us_{0};
    std::atomic<uint64_t> sampling_us_{0};
    std::atomic<uint32_t> active_{0};

    std::mutex joining_;
    std::thread thread_;
};

} // namespace mullama
