// What the KV cache of one sequence holds, so that a later prompt can begin where it agrees.
#pragma once

#include "prompt.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
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
    struct Run { // tokens, or one medium
        std::vector<llama_token> tokens;
        std::string key; // of a medium
        int32_t rows = 0;
        llama_pos positions = 0;
        llama_pos start = 0; // position of the first row; there may be a hole before it
    };

    Trace() = default;
    // exact_rows: see below. The runs must be in order and not overlap.
    Trace(std::vector<Run> runs, int32_t exact_rows);

    void add(llama_token token);
    void add(const PromptChunk & chunk, int32_t from, int32_t rows); // text: these rows; media: whole
    void clear();

    const std::vector<Run> & runs() const { return runs_; }
    int32_t rows() const { return rows_; }
    llama_pos positions() const { return positions_; } // where the next row goes

    // Rows whose values are those of a fresh evaluation. What follows a row that was taken out was
    // computed with that row in view, and so was everything after it.
    int32_t exact_rows() const { return std::min(rows_, altered_); }

    // Rows that anyone's prompt may begin with: the exact ones, unless they came from a file that is
    // not to be trusted with other people's answers.
    int32_t shared_rows() const { return private_ ? 0 : exact_rows(); }
    void keep_private() { private_ = rows_ > 0; }

    // The longest common beginning of the prompt and this, of at most `most` rows. At least the
    // prompt's last row is left out (its logits are needed), and a medium counts whole or not at all.
    Prefix match(const Prompt & prompt, int32_t most = std::numeric_limits<int32_t>::max()) const;

    // Forgets everything after the first `rows` rows, which must not end inside a medium.
    void truncate(int32_t rows);

    // Forgets `rows` rows from row `from` on; returns the positions from the first to the last of
    // them. Both ends move outwards to the borders of a medium they fall into; *from and *rows tell
    // what was forgotten. What follows moves up, or leaves a hole.
    llama_pos erase(int32_t * from, int32_t * rows, llama_pos * position, bool close_gap = true);

  private:
    std::vector<llama_token> & text();
    void count();

    std::vector<Run> runs_;
    int32_t rows_ = 0;
    llama_pos positions_ = 0;
    int32_t altered_ = std::numeric_limits<int32_t>::max(); // the first row that is not exact
    bool private_ = false;
};

// The longest common beginning of two prompts, under the same rules.
Prefix common_prefix(const Prompt & have, const Prompt & want);

} // namespace mullama
