// What the KV cache of one sequence holds, so that a later prompt can begin where it agrees.
#pragma once

#include "prompt.hpp"

#include <string>
#include <vector>

namespace mullama {

// How far a prompt is in a cache already: rows, positions, and where in the prompt that is.
struct Prefix {
    int32_t rows = 0;
    llama_pos positions = 0;
    size_t chunk = 0;   // of the prompt: what comes next
    int32_t offset = 0; // rows of that chunk that are there; not 0 for text only
};

class Trace {
  public:
    void add(llama_token token);
    void add(const PromptChunk & chunk, int32_t from, int32_t rows); // text: these rows; media: whole
    void clear();

    int32_t rows() const { return rows_; }
    llama_pos positions() const { return positions_; }

    // The longest common beginning of the prompt and this. At least the prompt's last row is left
    // out (its logits are needed), and a medium counts whole or not at all.
    Prefix match(const Prompt & prompt) const;

    // Forgets everything after the first `rows` rows, which must not end inside a medium.
    void truncate(int32_t rows);

    // Forgets `rows` rows from row `from` on; returns the positions they took. Both ends move
    // outwards to the borders of a medium they fall into; *from and *rows tell what was forgotten.
    llama_pos erase(int32_t * from, int32_t * rows, llama_pos * position);

  private:
    struct Run { // tokens, or one medium
        std::vector<llama_token> tokens;
        std::string key;
        int32_t rows = 0;
        llama_pos positions = 0;
    };
    std::vector<llama_token> & text();

    std::vector<Run> runs_;
    int32_t rows_ = 0;
    llama_pos positions_ = 0;
};

// The longest common beginning of two prompts, under the same rules.
Prefix common_prefix(const Prompt & have, const Prompt & want);

} // namespace mullama
