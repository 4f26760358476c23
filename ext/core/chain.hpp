// From options to a chain of llama.cpp's samplers and our own.
#pragma once

#include "sampling.hpp"

namespace mullama {

// Whether the largest logit is taken instead of a draw.
bool is_greedy(const SamplingParams & params);

// The chain, with a draw at its end unless it is greedy; null when it would be empty.
// model may be null. Throws Error(invalid_option).
llama_sampler_ptr make_chain(const SamplingParams & params, int32_t n_vocab, const Model * model, uint32_t seed);

} // namespace mullama
