#include "trace.hpp"

#include <algorithm>
#include <utility>

namespace mullama {

Trace::Trace(std::vector<Run> runs, int32_t exact_rows) : runs_(std::move(runs)) {
    count();
    altered_ = exact_rows < rows_ ? exact_rows : std::numeric_limits<int32_t>::max();
}

void Trace::count() {
    rows_ = 0;
    for (const Run & run : runs_) {
        rows_ += run.rows;
    }
    positions_ = runs_.empty() ? 0 : runs_.back().start + runs_.back().positions;
    altered_ = altered_ < rows_ ? altered_ : std::numeric_limits<int32_t>::max();
    private_ = private_ && rows_ > 0;
}

std::vector<llama_token> & Trace::text() {
    if (runs_.empty() || !runs_.back().key.empty()) {
        runs_.emplace_back().start = positions_;
    }
    return runs_.back().tokens;
}

void Trace::add(llama_token token) {
    text().push_back(token);
    ++runs_.back().rows;
    ++runs_.back().positions;
    ++rows_;
    ++positions_;
}

void Trace::add(const PromptChunk & chunk, int32_t from, int32_t rows) {
    if (chunk.media) {
        runs_.push_back({{}, chunk.key, chunk.n_tokens, chunk.n_pos, positions_});
        rows_ += chunk.n_tokens;
        positions_ += chunk.n_pos;
        return;
    }
    for (int32_t row = from; row < from + rows; ++row) {
        add(chunk.tokens[static_cast<size_t>(row)]);
    }
}

void Trace::clear() { *this = {}; }

Prefix Trace::match(const Prompt & prompt, int32_t most) const {
    Prefix out;
    size_t run = 0;
    size_t at = 0; // token in the run
    for (; out.chunk < prompt.chunks.size(); ++out.chunk, out.offset = 0) {
        const PromptChunk & chunk = prompt.chunks[out.chunk];
        const bool last = out.chunk + 1 == prompt.chunks.size();
        if (run < runs_.size() && runs_[run].key.empty() && at == runs_[run].tokens.size()) {
            ++run;
            at = 0;
        }
        if (chunk.media) {
            if (last || run == runs_.size() || at != 0 || runs_[run].key != chunk.key ||
                out.rows + runs_[run].rows > most) {
                return out;
            }
            out.rows += runs_[run].rows;
            out.positions = runs_[run].start + runs_[run].positions;
            ++run;
            continue;
        }
        const int32_t wanted = chunk.n_tokens - (last ? 1 : 0);
        while (out.offset < wanted) {
            if (run < runs_.size() && runs_[run].key.empty() && at == runs_[run].tokens.size()) {
                ++run;
                at = 0;
            }
            if (run == runs_.size() || !runs_[run].key.empty() || out.rows == most ||
                runs_[run].tokens[at] != chunk.tokens[static_cast<size_t>(out.offset)]) {
                return out;
            }
            ++at;
            ++out.offset;
            ++out.rows;
            out.positions = runs_[run].start + static_cast<llama_pos>(at);
        }
        if (last) {
            return out;
        }
    }
    return out;
}

void Trace::truncate(int32_t rows) {
    int32_t left = rows_;
    while (left > rows) {
        Run & run = runs_.back();
        left -= run.rows;
        if (run.key.empty() && left < rows) {
            run.tokens.resize(static_cast<size_t>(rows - left));
            run.rows = run.positions = rows - left;
            break;
        }
        runs_.pop_back();
    }
    count();
}

llama_pos Trace::erase(int32_t * from, int32_t * rows, llama_pos * position, bool close_gap) {
    const int32_t end = *from + *rows;
    std::vector<Run> kept;
    int32_t row = 0;
    llama_pos last = 0; // the position behind what was forgotten
    int32_t gone_rows = 0;
    for (Run & run : runs_) {
        const int32_t begin = row;
        row += run.rows;
        int32_t cut_from = std::max(*from, begin);
        int32_t cut_to = std::min(end, row);
        if (cut_from >= cut_to) {
            kept.push_back(std::move(run));
            continue;
        }
        const bool medium = !run.key.empty();
        cut_from = medium ? begin : cut_from;
        cut_to = medium ? row : cut_to;
        if (gone_rows == 0) {
            *position = run.start + (cut_from - begin);
            *from = cut_from;
        }
        last = medium ? run.start + run.positions : run.start + (cut_to - begin);
        gone_rows += cut_to - cut_from;
        const auto rest = [&](int32_t first, int32_t behind) {
            if (medium || first == behind) {
                return;
            }
            const auto at = run.tokens.begin();
            kept.push_back({{at + (first - begin), at + (behind - begin)}, {}, behind - first, behind - first,
                            run.start + (first - begin)});
        };
        rest(begin, cut_from);
        rest(cut_to, row);
    }
    runs_ = std::move(kept);
    *rows = gone_rows;
    const llama_pos gone = gone_rows > 0 ? last - *position : 0;
    for (Run & run : runs_) {
        run.start -= close_gap && gone_rows > 0 && run.start >= last ? gone : 0;
    }
    altered_ = gone_rows > 0 ? std::min(altered_, *from) : altered_;
    count();
    return gone;
}

Prefix common_prefix(const Prompt & have, const Prompt & want) {
    Trace trace;
    for (const PromptChunk & chunk : have.chunks) {
        trace.add(chunk, 0, chunk.n_tokens);
    }
    return trace.match(want);
}

} // namespace mullama
