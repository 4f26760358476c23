// A llama context for an engine.
#pragma once

#include "engine.hpp"

#include <atomic>

namespace mullama {

// How its contexts are made: evaluations stop once `closing` is true. Throws Error(invalid_option).
llama_context_params stoppable_params(const Model & model, const EngineParams & params,
                                      const std::atomic<bool> & closing);

// Evaluations in it stop once `closing` is true. Throws Error(model_load | invalid_option).
llama_context_ptr make_context(const Model & model, const EngineParams & params, const std::atomic<bool> & closing);

} // namespace mullama
