// The bytes that llama_state_seq_get_data() gives, taken apart: to move a sequence between contexts
// with different numbers of sequences, and to look at bytes from outside before llama.cpp does, which
// believes the positions in them and any number, NaN included.
#pragma once

#include "trace.hpp"

#include "ggml.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mullama {

// One cache of a sequence. Models with a sliding window have two, hybrid models a recurrent one last.
struct KvPart {
    enum class Kind : uint8_t { attention = 1, recurrent = 2 } kind = Kind::attention;
    uint32_t cells = 0;
    std::span<const uint8_t> body; // table of cells, then tensors; empty when there are no cells
};

// What the parts of a sequence must be like in a context.
struct KvShape {
    bool recurrent = false; // the model has a recurrent state ...
    bool attention = true;  // ... and this
    bool window = false;    // the model has a sliding window
    bool wide_cells = false; // M-RoPE: cells have two more positions
    bool transposed_values = false;
    ggml_type type_k = GGML_TYPE_F16;
    ggml_type type_v = GGML_TYPE_F16;
};

// Throws Error(model_capability) for a memory that is none of the above.
std::vector<KvPart> parts_of_blob(std::span<const uint8_t> blob, const KvShape & shape, const Trace & trace);

// Takes the number of the sequence out of the cells, so that the same content has the same bytes.
void forget_owner(std::vector<uint8_t> & blob, const std::vector<KvPart> & parts, const KvShape & shape);

// Throws Error(state) unless the parts are such as a context of this shape would give for a sequence
// that holds what the trace says: cells and their positions, types, sizes, finite numbers.
void check_parts(const std::vector<KvPart> & parts, const KvShape & shape, const Trace & trace);

// For llama_state_seq_set_data() in a context of n_seq sequences.
std::vector<uint8_t> blob_of_parts(const std::vector<KvPart> & parts, uint32_t n_seq);

} // namespace mullama
