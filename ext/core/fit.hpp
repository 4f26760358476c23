// Sizes that fit the memory there is.
#pragma once

#include "engine.hpp"
#include "model.hpp"

#include <cstdint>
#include <string>

namespace mullama {

struct Fit {
    ModelParams model;
    EngineParams engine; // n_ctx filled in
};

// Chooses what is not set (gpu_layers, tensor_split, override_tensors, n_ctx) so that `margin` bytes
// stay free on every device, or of main memory where there is no other. Allocates nothing.
//
// Blocks for a few readings of the file's header. llama.cpp swaps its log handler meanwhile: do not
// load models or run engines at the same time. Throws Error(model_load | invalid_option).
Fit fit_to_memory(const std::string & path, const ModelParams & model, const EngineParams & engine, uint64_t margin,
                  int32_t min_ctx);

} // namespace mullama
