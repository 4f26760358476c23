#include "check.hpp"
#include "trace.hpp"

using namespace mullama;

namespace {

PromptChunk text(std::vector<llama_token> tokens) {
    PromptChunk chunk;
    chunk.n_tokens = chunk.n_pos = static_cast<int32_t>(tokens.size());
    chunk.tokens = std::move(tokens);
    return chunk;
}

// Under M-RoPE a picture of 16 rows takes as many positions as its longer side, here 4.
PromptChunk picture(const std::string & key) {
    PromptChunk chunk;
    chunk.media = std::shared_ptr<const mtmd_input_chunk>(reinterpret_cast<const mtmd_input_chunk *>(&chunk),
                                                          [](const mtmd_input_chunk *) {});
    chunk.key = key;
    chunk.n_tokens = 16;
    chunk.n_pos = 4;
    return chunk;
}

Prompt prompt(std::vector<PromptChunk> chunks) {
    Prompt out;
    for (const PromptChunk & chunk : chunks) {
        out.n_tokens += chunk.n_tokens;
        out.n_pos += chunk.n_pos;
    }
    out.chunks = std::move(chunks);
    return out;
}

Trace trace_of(const Prompt & prompt) {
    Trace trace;
    for (const PromptChunk & chunk : prompt.chunks) {
        trace.add(chunk, 0, chunk.n_tokens);
    }
    return trace;
}

} // namespace

TEST(the_last_row_is_always_evaluated) {
    const Prompt same = prompt({text({1, 2, 3})});
    const Prefix prefix = trace_of(same).match(same);
    CHECK(prefix.rows == 2 && prefix.positions == 2 && prefix.chunk == 0 && prefix.offset == 2);
    CHECK(trace_of(same).match(prompt({text({9, 2, 3})})).rows == 0);
    CHECK(Trace().match(same).rows == 0);
}

TEST(a_conversation_goes_on_behind_its_answer) {
    Trace trace = trace_of(prompt({text({1, 2}), picture("a"), text({3})}));
    trace.add(4); // the answer
    trace.add(5);
    const Prefix prefix = trace.match(prompt({text({1, 2}), picture("a"), text({3, 4, 5, 6, 7})}));
    CHECK(prefix.rows == 2 + 16 + 3);
    CHECK(prefix.positions == 2 + 4 + 3);
    CHECK(prefix.chunk == 2 && prefix.offset == 3);
}

TEST(a_medium_counts_whole_or_not_at_all) {
    const Prompt seen = prompt({text({1, 2}), picture("a"), text({3})});
    const Prefix other = trace_of(seen).match(prompt({text({1, 2}), picture("b"), text({3})}));
    CHECK(other.rows == 2 && other.chunk == 1 && other.offset == 0);
    const Prompt ends = prompt({text({1, 2}), picture("a")});
    const Prefix last = trace_of(seen).match(ends);
    CHECK(last.rows == 2 && last.chunk == 1);
    const Prefix shorter = trace_of(seen).match(prompt({text({1}), picture("a"), text({3})}));
    CHECK(shorter.rows == 1 && shorter.chunk == 1);
}

TEST(chunk_borders_do_not_matter) {
    const Trace trace = trace_of(prompt({text({1}), text({2, 3}), text({4})}));
    const Prefix prefix = trace.match(prompt({text({1, 2}), text({3, 4, 5})}));
    CHECK(prefix.rows == 4 && prefix.chunk == 1 && prefix.offset == 2);
}

TEST(truncate_forgets_the_end) {
    const Prompt whole = prompt({text({1, 2}), picture("a"), text({3, 4, 5})});
    Trace trace = trace_of(whole);
    trace.truncate(19);
    CHECK(trace.rows() == 19 && trace.positions() == 7);
    CHECK(trace.match(whole).rows == 19);
    trace.truncate(18);
    CHECK(trace.rows() == 18 && trace.positions() == 6);
    trace.truncate(2);
    CHECK(trace.rows() == 2 && trace.positions() == 2);
    trace.truncate(0);
    CHECK(trace.rows() == 0 && trace.match(whole).rows == 0);
}

TEST(erase_keeps_media_whole) {
    Trace trace = trace_of(prompt({text({1, 2}), picture("a"), text({3, 4, 5})}));
    int32_t from = 4; // inside the picture
    int32_t rows = 15; // to the first token behind it
    llama_pos position = 0;
    const llama_pos gone = trace.erase(&from, &rows, &position);
    CHECK(from == 2 && rows == 17 && position == 2 && gone == 5);
    CHECK(trace.rows() == 4 && trace.positions() == 4);
    CHECK(trace.match(prompt({text({1, 2, 4, 5, 6})})).rows == 4);
}

TEST(a_gap_stays_where_it_is) {
    Trace trace = trace_of(prompt({text({1, 2, 3, 4, 5, 6}), picture("a"), text({7, 8})}));
    int32_t from = 2;
    int32_t rows = 2;
    llama_pos position = 0;
    CHECK(trace.erase(&from, &rows, &position, /*close_gap=*/false) == 2);
    CHECK(from == 2 && rows == 2 && position == 2);
    CHECK(trace.rows() == 22 && trace.positions() == 12 && trace.exact_rows() == 2);
    const Prompt rest = prompt({text({1, 2, 5, 6}), picture("a"), text({7, 8, 9})});
    const Prefix prefix = trace.match(rest);
    CHECK(prefix.rows == 22 && prefix.positions == 12);
    const Prefix exact = trace.match(rest, trace.exact_rows());
    CHECK(exact.rows == 2 && exact.positions == 2 && exact.chunk == 0 && exact.offset == 2);
    CHECK(trace.match(rest, 10).rows == 4); // the picture does not fit
    trace.add(9);
    CHECK(trace.positions() == 13);
    trace.truncate(3);
    CHECK(trace.positions() == 5 && trace.exact_rows() == 2);
    trace.truncate(2);
    CHECK(trace.positions() == 2 && trace.exact_rows() == 2);
    trace.add(3);
    CHECK(trace.exact_rows() == 3); // nothing is left of what was not
}

TEST(closing_a_gap_keeps_those_behind_it) {
    Trace trace = trace_of(prompt({text({1, 2, 3, 4, 5, 6, 7, 8, 9})}));
    int32_t from = 6;
    int32_t rows = 1;
    llama_pos position = 0;
    trace.erase(&from, &rows, &position, false);
    from = 1;
    rows = 2;
    CHECK(trace.erase(&from, &rows, &position, true) == 2 && position == 1);
    CHECK(trace.runs().size() == 3 && trace.runs()[1].start == 1 && trace.runs()[2].start == 5);
    from = 1;
    rows = 4; // over the gap that was left
    CHECK(trace.erase(&from, &rows, &position, true) == 5 && position == 1);
    CHECK(trace.rows() == 2 && trace.positions() == 2);
    from = 1;
    rows = 1;
    trace.erase(&from, &rows, &position, true);
    CHECK(trace.rows() == 1 && trace.positions() == 1 && trace.exact_rows() == 1);
}
