// What is asked of the engine, made ready on the caller's thread.
#pragma once

#include "adapter.hpp"
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

double ms_between(Clock::time_point from, Clock::time_point to);

struct Limits {
    int32_t max_tokens = -1;              // negative: until the context is full
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

// Where a request runs, and how far.
struct Place {
    uint64_t session = 0;      // its sequence; 0: any that is free
    bool prefill_only = false; // evaluate the prompt, generate nothing
};

struct Request {
    std::shared_ptr<const Prompt> prompt;
    uint64_t session = 0;
    bool prefill_only = false;
    SamplingParams sampling;
    Limits limits;
    std::shared_ptr<const AdapterSet> adapters; // null: none
    bool asks_for_logits = false; // each draw waits for the reader to change the logits
    std::shared_ptr<Stream> stream;
    Clock::time_point submitted = Clock::now();

    std::unique_ptr<Sampler> sampler;
    std::unique_ptr<Constraint> constraint; // null: the answer is free
    std::unique_ptr<TextStream> text;
    std::vector<llama_token> end_tokens; // the model's own ends; only listed where they may be forbidden

    bool same_adapters(const AdapterSet * other) const; // null is the empty set
    Clock::time_point deadline() const; // Clock::time_point::max() without one
};

// Everything but the stream. Throws Error(invalid_option | model_capability).
std::unique_ptr<Request> make_request(const Model & model, std::shared_ptr<const Prompt> prompt,
                                      const SamplingParams & sampling, const Limits & limits, bool asks_for_logits);

} // namespace mullama
