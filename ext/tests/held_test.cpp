#include "check.hpp"
#include "held.hpp"

using namespace mullama;

namespace {

void push(HeldTokens & held, llama_token token, const char * bytes) { held.push({token, bytes, std::nullopt, {}}); }

} // namespace

TEST(without_banned_strings_nothing_is_held) {
    HeldTokens held({});
    push(held, 1, "the");
    CHECK(!held.active());
    CHECK(held.release()->token == 1);
    CHECK(!held.release());
}

TEST(tokens_wait_while_a_banned_string_may_begin_in_them) {
    HeldTokens held({"the cat", "cats"});
    push(held, 1, "see");
    push(held, 2, " the");
    CHECK(held.release()->token == 1);
    CHECK(!held.release());
    push(held, 3, " ");
    CHECK(!held.release());
    push(held, 4, "dog");
    CHECK(!held.take_back());
    CHECK(held.release()->token == 2);
    CHECK(held.release()->token == 3);
    CHECK(held.release()->token == 4);
    CHECK(!held.release());
}

TEST(the_token_a_banned_string_begins_in_is_taken_back) {
    HeldTokens held({"e cat"});
    push(held, 1, "x");
    push(held, 2, "the");
    push(held, 3, " c");
    push(held, 4, "atty");
    CHECK(held.take_back()->token == 2);
    CHECK(held.size() == 1);
    CHECK(held.release()->token == 1);
    CHECK(!held.take_back());
}

TEST(what_is_held_at_the_end_is_released_in_order) {
    HeldTokens held({"abc"});
    push(held, 1, "a");
    push(held, 2, "b");
    CHECK(!held.release());
    CHECK(held.release_any()->token == 1);
    CHECK(held.release_any()->token == 2);
    CHECK(!held.release_any());
}
