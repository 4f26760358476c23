// The one engine: a llama context, N sequences, and the thread that schedules them.
#pragma once

#include "context_params.hpp"
#include "encoder.hpp"
#include "queue.hpp"
#include "grammar.hpp"
#include "slot.hpp"
#include "speculation.hpp"

#include "common.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
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
                                   std::shared_ptr<const AdapterSet> adapters = nullptr);

    // Ends every request with an engine_closed error and joins the thread: at most the rest of one
    // evaluation. Idempotent, thread-safe.
    void close();

    const std::shared_ptr<const Model> & model() const { return model_; }
    const std::shared_ptr<Media> & media() const { return media_; }
    const std::shared_ptr<Mailbox> & mailbox() const { return mailbox_; }
    int32_t n_ctx() const { return n_ctx_; } // tokens per sequence
    EngineCounters counters() const;

  private:
    struct Output { // rows whose logits are wanted, and by whom
        Slot * slot;
        int32_t row;                    // the first
        std::vector<llama_token> guess; // what the rows after it hold
    };

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
    bool has_work(const Slot & slot) const;
    void take_turn();  // chooses whose adapters are applied
    bool in_turn(const Slot & slot) const { return slot.request().same_adapters(applied_.get()); }
    bool step_media(Slot & slot, int32_t budget);
    bool step_text(int32_t prefill_budget);
    void add_decode_rows(std::vector<Output> * outputs);
    void guess(std::vector<Output> * outputs);
    void check(const Output & output);
    bool make_room(Slot & slot);
    void sample(Slot & slot, int32_t row);
    void choose(Slot & slot, const float * logits);
    void end(Slot & slot, Finish finish, std::optional<Error> error = std::nullopt);
    void end(std::unique_ptr<Request> request, Finish finish, std::optional<Error> error = std::nullopt);
    void announce(const Stream & stream);
    void fail_all(const Error & error);
    void give_up(const Error & error);
    int32_t process();

    const std::shared_ptr<const Model> model_;
    const std::shared_ptr<Media> media_;
    const EngineParams params_;
    const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
    llama_context_ptr context_;
    common_batch batch_;
    std::unique_ptr<Encoder> encoder_;
    std::unique_ptr<Speculation> speculation_;
    int32_t n_ctx_ = 0;

    std::vector<Slot> slots_;         // engine thread
    std::unique_ptr<Request> admitting_; // engine thread: between queue and slot
    std::vector<uint64_t> announced_; // engine thread: streams with news in this step
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

    std::atomic<bool> closing_{false};
    std::atomic<uint64_t> prompt_tokens_{0};
    std::atomic<uint64_t> reused_tokens_{0};
    std::atomic<uint64_t> generated_tokens_{0};
    std::atomic<uint64_t> drafted_tokens_{0};
    std::atomic<uint64_t> accepted_tokens_{0};
    std::atomic<uint64_t> steps_{0};
    std::atomic<uint64_t> shifts_{0};
    std::atomic<uint32_t> active_{0};

    std::mutex joining_;
    std::thread thread_;
};

} // namespace mullama
