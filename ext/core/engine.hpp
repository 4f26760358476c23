// The one engine: a llama context, N sequences, and the thread that schedules them.
#pragma once

#include "grammar.hpp"
#include "media.hpp"
#include "model.hpp"
#include "prompt.hpp"
#include "slot.hpp"
#include "stream.hpp"

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace mullama {

struct EngineParams {
    int32_t n_ctx = 0;        // tokens per sequence; 0: what the model was trained for
    int32_t n_parallel = 1;   // sequences
    int32_t n_batch = 2048;   // most rows evaluated in one step
    int32_t n_ubatch = 512;   // rows evaluated at once; one prefill chunk while others decode
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
    uint64_t generated_tokens = 0;
    uint64_t steps = 0;
    uint32_t active = 0;
    uint32_t queued = 0;
};

class Engine {
  public:
    // Allocates the context and starts the thread. Throws Error(model_load | model_capability |
    // invalid_option). media may be null.
    Engine(std::shared_ptr<const Model> model, std::shared_ptr<Media> media, const EngineParams & params);
    ~Engine(); // closes if close() was not called; prefer close(), which may block

    // Queues a request; never blocks. Throws Error(context_overflow | engine_closed | grammar | ...).
    // grammar: what the answer may be; null for the one the prompt's tools ask for, if they do.
    std::shared_ptr<Stream> submit(std::shared_ptr<const Prompt> prompt, const SamplingParams & sampling,
                                   const Limits & limits, GrammarPtr grammar = nullptr);

    // Ends every request with an engine_closed error and joins the thread: at most the rest of one
    // evaluation. Idempotent, thread-safe.
    void close();

    const std::shared_ptr<const Model> & model() const { return model_; }
    const std::shared_ptr<Media> & media() const { return media_; }
    const std::shared_ptr<Mailbox> & mailbox() const { return mailbox_; }
    int32_t n_ctx() const { return n_ctx_; } // tokens per sequence
    EngineCounters counters() const;

  private:
    void run();
    void admit();
    void drop_cancelled();
    bool step();
    bool step_media(Slot & slot);
    bool step_text();
    bool encode(Slot & slot);
    void sample(Slot & slot, int32_t row);
    void end(Slot & slot, Finish finish, std::optional<Error> error = std::nullopt);
    void announce(const Stream & stream);
    void fail_all(const Error & error);
    int32_t process(llama_batch_ext * batch);

    const std::shared_ptr<const Model> model_;
    const std::shared_ptr<Media> media_;
    const EngineParams params_;
    const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
    llama_context_ptr context_;
    llama_batch_ext_ptr batch_;
    int32_t n_ctx_ = 0;

    std::vector<Slot> slots_;         // engine thread
    std::vector<uint64_t> announced_; // engine thread: streams with news in this step
    size_t next_media_ = 0;           // engine thread: whose medium comes next

    mutable std::mutex queue_mutex_;
    std::deque<std::unique_ptr<Request>> queue_;
    uint64_t next_id_ = 1;
    bool closed_ = false;
    std::optional<Error> broken_; // set once the backend aborted; nothing runs after that

    std::atomic<bool> closing_{false};
    std::atomic<uint64_t> prompt_tokens_{0};
    std::atomic<uint64_t> generated_tokens_{0};
    std::atomic<uint64_t> steps_{0};
    std::atomic<uint32_t> active_{0};

    std::mutex joining_;
    std::thread thread_;
};

} // namespace mullama
