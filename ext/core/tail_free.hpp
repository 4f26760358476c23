// Samplers of our own, for llama.cpp's chains.
#pragma once

#include "llama.h"

#include <cstddef>

namespace mullama {

// Tail-free sampling (T. Bricken, "Tail Free Sampling", 2020): sorts by probability and cuts where
// the curve has flattened, that is where the curvature summed up so far exceeds the share z of all.
llama_sampler * init_tail_free(float z, size_t min_keep);

// Drops candidates whose probability is 0 in float arithmetic; at least the best one stays.
llama_sampler * init_possible();

} // namespace mullama
