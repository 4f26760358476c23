// Reads a GGUF header and refuses a file that is broken or does not fit, before llama.cpp sees it.
#pragma once

#include <cstdint>
#include <string>

namespace mullama {

class Model;

// Throws Error(model_load) for a missing, foreign, truncated or non-model file.
void check_model_file(const std::string & path);

struct MmprojSummary {
    bool counts_pictures = false; // where a picture stands among others changes its positions
};

// Likewise for an mmproj; n_embd is the width of the language model's input, in floats per token.
MmprojSummary check_mmproj_file(const std::string & path, int32_t n_embd);

struct LoraSummary {
    float alpha = 0.0F;
    int32_t n_tensors = 0; // matrices it changes
    uint64_t size_bytes = 0;
};

// Likewise for a LoRA adapter of this model.
LoraSummary check_lora_file(const std::string & path, const Model & model);

} // namespace mullama
