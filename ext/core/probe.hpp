// Runs token sequences on a private context to look inside: logits of every position and the hidden
// states between layers. For making control vectors and for tests; the engine generates.
#pragma once

#include "adapter.hpp"
#include "model.hpp"

#include <memory>
#include <vector>

namespace mullama {

struct ProbeResult {
    int32_t n_tokens = 0;
    std::vector<float> logits; // n_tokens rows of n_vocab
    std::vector<float> hidden; // n_layer * n_tokens rows of n_embd: what each layer gives the next
};

class Probe {
  public:
    // Throws Error(model_load | model_capability).
    Probe(std::shared_ptr<const Model> model, int32_t max_tokens, int32_t threads);

    // Blocks for one prefill. Not thread-safe. Throws Error(context_overflow | decode |
    // model_capability | invalid_option).
    ProbeResult run(const std::vector<llama_token> & tokens, const AdapterSet & adapters, bool hidden);

    const std::shared_ptr<const Model> & model() const { return model_; }

  private:
    bool observe(ggml_tensor * tensor, bool ask);

    std::shared_ptr<const Model> model_;
    AdapterSet adapters_; // what the context points to
    llama_context_ptr context_;
    int32_t max_tokens_;
    ProbeResult * into_ = nullptr; // set while hidden states are wanted
    int32_t layers_seen_ = 0;
};

} // namespace mullama
