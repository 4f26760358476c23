#include "trace.hpp"

#include <algorithm>

namespace mullama {

std::vector<llama_token> & Trace::text() {
    if (runs_.empty() || !runs_.back().key.empty()) {
        runs_.emplace_back();
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
        runs_.push_back({{}, chunk.key, chunk.n_tokens, chunk.n_pos});
        rows_ += chunk.n_tokens;
        positions_ += chunk.n_pos;
        return;
    }
    for (int32_t row = from; row < from + rows; ++row) {
        add(chunk.tokens[static_cast<size_t>(row)]);
    }
}

void Trace::clear() {
    runs_.clear();
    rows_ = 0;
    positions_ = 0;
}

Prefix Trace::match(const Prompt & prompt) const {
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
            if (last || run == runs_.size() || at != 0 || runs_[run].key != chunk.key) {
                return out;
            }
            ++run;
            out.rows += chunk.n_tokens;
            out.positions += chunk.n_pos;
            continue;
        }
        const int32_t wanted = chunk.n_tokens - (last ? 1 : 0);
        while (out.offset < wanted) {
            if (run < runs_.size() && runs_[run].key.empty() && at == runs_[run].tokens.size()) {
                ++run;
                at = 0;
            }
            if (run == runs_.size() || !runs_[run].key.empty() ||
                runs_[run].tokens[at] != chunk.tokens[static_cast<size_t>(out.offset)]) {
                return out;
            }
            ++at;
            ++out.offset;
            ++out.rows;
            ++out.positions;
        }
        if (last) {
            return out;
        }
    }
    return out;
}

void Trace::truncate(int32_t rows) {
    while (rows_ > rows) {
        Run & run = runs_.back();
        if (run.key.empty() && rows_ - run.rows < rows) {
            const int32_t drop = rows_ - rows;
            run.tokens.resize(run.tokens.size() - static_cast<size_t>(drop));
            run.rows -= drop;
            run.positions -= drop;
            rows_ -= drop;
            positions_ -= drop;
            return;
        }
        rows_ -= run.rows;
        positions_ -= run.positions;
        runs_.pop_back();
    }
}

llama_pos Trace::erase(int32_t * from, int32_t * rows, llama_pos * position) {
    const int32_t end = *from + *rows;
    std::vector<Run> kept;
    int32_t row = 0;
    llama_pos where = 0;
    llama_pos gone = 0;
    int32_t gone_rows = 0;
    for (const Run & run : runs_) {
        const int32_t begin_row = row;
        const llama_pos begin_position = where;
        row += run.rows;
        where += run.positions;
        const int32_t cut_from = std::max(*from, begin_row);
        const int32_t cut_to = std::min(end, row);
        if (cut_from >= cut_to) {
            kept.push_back(run);
            continue;
        }
        if (!run.key.empty()) {
            if (gone_rows == 0) {
                *position = begin_position;
                *from = begin_row;
            }
            gone += run.positions;
            gone_rows += run.rows;
            continue;
        }
        if (gone_rows == 0) {
            *position = begin_position + (cut_from - begin_row);
            *from = cut_from;
        }
        gone += cut_to - cut_from;
        gone_rows += cut_to - cut_from;
        Run rest = run;
        rest.tokens.erase(rest.tokens.begin() + (cut_from - begin_row), rest.tokens.begin() + (cut_to - begin_row));
        rest.rows = rest.positions = static_cast<int32_t>(rest.tokens.size());
        if (rest.rows > 0) {
            kept.push_back(std::move(rest));
        }
    }
    runs_ = std::move(kept);
    rows_ -= gone_rows;
    positions_ -= gone;
    *rows = gone_rows;
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
