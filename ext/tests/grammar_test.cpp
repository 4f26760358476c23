#include "check.hpp"
#include "grammar.hpp"
#include "sampling.hpp"

#include <cmath>

using namespace mullama;

namespace {

std::string error_of(const std::string & text) {
    try {
        Grammar::gbnf(text, "root");
    } catch (const Error & error) {
        return error.where + ": " + error.what();
    }
    return "";
}

// Allows tokens of a set; what is left of it once some were refused.
struct OnlyThese : TokenFilter {
    explicit OnlyThese(const std::vector<llama_token> & tokens) : mask(5) {
        for (const llama_token token : tokens) {
            mask.set(token);
        }
    }
    bool allows(llama_token token) override { return mask.has(token); }
    const TokenMask & allowed() override {
        ++asked;
        return mask;
    }
    TokenMask mask;
    int asked = 0;
};

const std::vector<float> logits{0.1F, 2.0F, -1.0F, 1.9F, 0.0F};

} // namespace

TEST(gbnf_errors_are_placed) {
    CHECK(error_of("root ::= \"a\"\nx := y").rfind("line 2, column 3: expected ::=", 0) == 0);
    CHECK(error_of("root ::= (\"\xC3\xA9\" [").rfind("line 1, column 16: expected ']'", 0) == 0);
    CHECK(error_of(std::string("root ::= \"\0\"", 12)).empty()); // a NUL is a character
}

TEST(characters_are_matched_in_utf8) {
    const GrammarPtr grammar = Grammar::gbnf("root ::= [\\u0080-\\U0010FFFF] [^a-z]", "root");
    CHECK(grammar->matches("\xC3\xA9!"));
    CHECK(grammar->matches("\xF4\x8F\xBF\xBF\xC2\x80"));
    CHECK(!grammar->matches("a!"));
    CHECK(!grammar->begins("\xC0\x80"));         // overlong
    CHECK(!grammar->begins("\xED\xA0\x80"));     // a surrogate
    CHECK(!grammar->begins("\xF4\x90\x80\x80")); // above U+10FFFF
    CHECK(grammar->begins("\xF4"));
    for (uint32_t c = 1; c < 0x110000; c += 37) { // every length, against the plain encoding
        if (c >= 0xD800 && c <= 0xDFFF) {
            continue;
        }
        GbnfRules rules;
        rules.rules.push_back({"root", {}});
        rules.rules[0].body.kind = GbnfNode::Kind::chars;
        rules.rules[0].body.ranges = {{c, c + 1}};
        const std::string text = print_gbnf(rules);
        const GrammarPtr one = c % 1000 < 37 ? Grammar::gbnf(text, "root") : nullptr;
        if (one) {
            CHECK(one->text() == text);
        }
    }
}

TEST(states_of_one_automaton_move_to_another) {
    const GrammarPtr grammar = Grammar::gbnf("root ::= \"[\" (root (\",\" root)*)? \"]\"", "root");
    const auto & program = grammar->compiled().program;
    Automaton first(program);
    Automaton second(program);
    const int32_t deep = first.read(Automaton::start, "[[],[[");
    const int32_t moved = second.adopt(first, deep);
    CHECK(!second.complete(moved));
    CHECK(second.complete(second.read(moved, "]]]")));
    CHECK(second.leaf(second.read(moved, "]]]")));
    CHECK(second.read(moved, "]]]]") == Automaton::dead);
}

TEST(the_same_context_is_the_same_state) {
    const GrammarPtr grammar = Grammar::gbnf("root ::= \"[\" (item (\",\" item)*)? \"]\"\nitem ::= [0-9]+ | root", "root");
    Automaton automaton(grammar->compiled().program);
    CHECK(automaton.read(Automaton::start, "[1,22,3") == automaton.read(Automaton::start, "[4,5,6,7,8,9"));
    CHECK(automaton.read(Automaton::start, "[[1],[2") == automaton.read(Automaton::start, "[[3"));
    CHECK(automaton.read(Automaton::start, "[[1") != automaton.read(Automaton::start, "[1"));
}

TEST(a_filter_is_asked_only_when_the_first_choice_is_refused) {
    Sampler greedy({}, 5);
    OnlyThese likely({1, 2});
    CHECK(greedy.sample(logits.data(), {}, &likely) == 1 && likely.asked == 0);
    OnlyThese others({0, 4});
    CHECK(greedy.sample(logits.data(), {}, &others) == 0 && others.asked == 1);
    OnlyThese none({});
    CHECK(greedy.sample(logits.data(), {}, &none) == LLAMA_TOKEN_NULL);
    SamplingParams params;
    params.temperature = 2.0F;
    params.seed = 3;
    Sampler warm(params, 5);
    for (int i = 0; i < 50; ++i) {
        OnlyThese two({2, 4});
        const llama_token token = warm.sample(logits.data(), {}, &two);
        CHECK(token == 2 || token == 4);
    }
    CHECK(warm.sample(logits.data(), {}, &none) == LLAMA_TOKEN_NULL);
}
