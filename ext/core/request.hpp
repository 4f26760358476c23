// What is asked of the engine, made ready on the caller's thread.
#pragma once

#include "adapted.hpp"
#include "constraint.hpp"
#include "embedding.hpp"
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

double ms_between(Clock::time_point from, Clock::time_point to);

struct Limits {
    int32_t max_tokens = -1;              // negative: until the context is full; 0: prefill only
    bool echo = false;                    // give the prompt's tokens too, scored if log-probabilities are wanted
    int64_t max_time_ms = -1;             // from submission on; negative: for as long as it takes
    std::vector<std::string> stop;        // strings that end the answer and are not part of it
    std::vector<llama_token> stop_tokens; // tokens that do the same
    std::string stop_regex;               // a pattern whose match does the same; empty: none
    bool ignore_eos = false;              // never draw the model's own end
    int32_t priority = 0;                 // higher goes first
    std::string client;                   // waiting requests of different clients take turns
    std::string overflow = "stop";        // when the context is full: stop | shift
    int32_t buffer_tokens = 64;           // events that may wait to be read before the request is paused
};

struct Request {
    std::shared_ptr<const Prompt> prompt;
    uint64_t session = 0; // that it runs in; 0: any sequence that is free
    SamplingParams sampling;
    Limits limits;
    Adapted adapters; // and on which rows of the prompt
    bool asks_for_logits = false; // each draw waits for the reader to change the logits
    std::shared_ptr<Stream> stream;
    Clock::time_point submitted = Clock::now();

    std::unique_ptr<Sampler> sampler;
    std::unique_ptr<Constraint> constraint; // null: the answer is free
    std::unique_ptr<TextStream> text;
    std::unique_ptr<Pooler> pooler; // of a request that asks for states instead of an answer; else null
    std::vector<llama_token> end_tokens; // the model's own ends; only listed where they may be forbidden

    bool scores_prompt() const { return limits.echo && sampler->wants_logprobs(); }
    // Rows that are in a cache already will do.
    bool may_reuse() const { return pooler ? !pooler->wants_all() : !scores_prompt(); }
    Clock::time_point deadline() const; // Clock::time_point::max() without one
};

// Everything but the stream. Throws Error(invalid_option | model_capability).
std::unique_ptr<Request> make_request(const Model & model, std::shared_ptr<const Prompt> prompt,
                                      const SamplingParams & sampling, const Limits & limits, bool asks_for_logits);

// A request for the states of a prompt; everything but the stream.
std::unique_ptr<Request> make_state_request(std::shared_ptr<const Prompt> prompt, std::unique_ptr<Pooler> pooler,
                                            const ScoreParams & params);

} // namespace mullama
