// The bounded channel between the engine's thread and whoever reads one request.
#pragma once

#include "error.hpp"
#include "sampling.hpp"
#include "shared.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace mullama {

class Bell;
class Grammar;
struct Embedding;

struct TokenEvent {
    llama_token token = 0;
    std::string text; // may be empty while a character or stop string is held back
    std::optional<TokenLogprobs> logprobs;
};

enum class Finish { stop, length, deadline, cancelled, error };

// What a reader needs to change the logits of the next token.
struct LogitsQuestion {
    std::vector<llama_token> tokens; // prompt and answer so far; -1 for each row of a medium
    std::vector<float> logits;
};

// Milliseconds; -1 where the request never got so far.
struct Timings {
    double queue_ms = -1;       // submitted -> admitted
    double encode_ms = 0;       // in vision and audio encoders, for media that were not remembered
    double prefill_ms = -1;     // admitted -> first token sampled, encoders included
    double first_token_ms = -1; // submitted -> first token sampled
    double decode_ms = 0;       // first token -> end
    int32_t prompt_tokens = 0;
    int32_t reused_tokens = 0; // of the prompt: in the KV cache already
    int32_t generated_tokens = 0;
    int32_t drafted_tokens = 0;  // guessed by speculative decoding
    int32_t accepted_tokens = 0; // of those, right
};

// How a request ended. There is exactly one per request, and nothing comes after it.
struct Terminal {
    Finish finish = Finish::stop;
    std::string text;        // what had been held back
    std::string stop_string; // the one that ended it, if one did
    std::optional<Error> error;
    Timings timings;
    std::shared_ptr<const Embedding> embedding{}; // of a request for states that got so far
};

// Wakes the engine. Shared by an engine and its streams, so either may outlive the other.
class Mailbox {
  public:
    void wait_for_work(std::chrono::milliseconds timeout); // until wake() or timeout
    void wake();

  private:
    std::mutex mutex_;
    std::condition_variable work_;
    bool woken_ = false;
};

// Every method is thread-safe.
class Stream : public Shared<Stream> {
  public:
    Stream(uint64_t id, size_t capacity, std::shared_ptr<Mailbox> mailbox);

    uint64_t id() const { return id_; }

    // Engine side. push() beyond the capacity is the engine's error; it asks has_room() first.
    bool has_room() const { return room() > 0; }
    size_t room() const; // events that may be pushed
    void push(TokenEvent event);
    void finish(Terminal terminal);
    void ask(LogitsQuestion question);
    void echo(std::vector<TokenEvent> prompt); // before the first token
    std::optional<std::vector<float>> take_answer(); // never blocks
    // The grammar that was set since the last call, if one was (null: none from now on).
    std::optional<std::shared_ptr<const Grammar>> take_grammar();
    bool cancel_requested() const { return cancelled_.load(std::memory_order_relaxed); }
    std::shared_ptr<Bell> bell() const; // of the reader's event loop; null: it has none

    // Reader side.
    void subscribe(std::shared_ptr<Bell> bell); // from now on it tells of events
    void cancel(); // idempotent; the terminal event still comes
    // For the tokens that are chosen from now on; those that wait to be read are chosen already.
    void set_grammar(std::shared_ptr<const Grammar> grammar);
    // Waits for an event, a question or the end; false on timeout.
    bool wait(std::chrono::milliseconds timeout) const;
    std::vector<TokenEvent> take();          // everything buffered; never blocks
    bool ended() const;                      // no event is left and none will come
    std::vector<TokenEvent> prompt() const; // the tokens of its text, if they were asked for; from the first token on
    std::optional<LogitsQuestion> take_question();
    void answer(std::vector<float> logits);
    std::optional<Terminal> terminal() const; // only once the buffer is empty

  private:
    const uint64_t id_;
    const size_t capacity_;
    const std::shared_ptr<Mailbox> mailbox_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::deque<TokenEvent> events_;
    std::vector<TokenEvent> prompt_;
    std::optional<LogitsQuestion> question_;
    std::optional<std::vector<float>> answer_;
    std::optional<Terminal> terminal_;
    std::optional<std::shared_ptr<const Grammar>> grammar_;
    std::atomic<bool> grammar_set_{false};
    std::atomic<bool> cancelled_{false};
    std::shared_ptr<Bell> bell_;
    std::atomic<bool> subscribed_{false};
};

} // namespace mullama
