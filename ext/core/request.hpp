// What is asked of the engine.
#pragma once

#include "prompt.hpp"
#include "sampling.hpp"
#include "stream.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mullama {

using Clock = std::chrono::steady_clock;

inline double ms_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

// Defaults, docs and ranges live in mullama_media/engine/stream.py.
struct Limits {
    int32_t max_tokens = -1;       // negative: until the context is full
    std::vector<std::string> stop; // strings that end the answer and are not part of it
    int32_t buffer_tokens = 64;    // events that may wait to be read before the request is paused
    int32_t priority = 0;          // higher goes first
    std::string client;            // waiting requests of different clients take turns
    std::string overflow = "stop"; // when the context is full: stop | shift
};

struct Request {
    std::shared_ptr<const Prompt> prompt;
    SamplingParams sampling;
    Limits limits;
    std::shared_ptr<Stream> stream;
    Clock::time_point submitted;
};

} // namespace mullama
