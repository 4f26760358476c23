#include "check.hpp"
#include "error.hpp"
#include "regex.hpp"
#include "text.hpp"

#include <chrono>

using namespace mullama;

namespace {

struct Shown {
    std::string text;
    std::optional<std::string> matched;
    bool operator==(const Shown &) const = default;
};

// What a filter shows of ASCII text fed in pieces of n bytes.
Shown shown(const std::string & pattern, const std::string & text, size_t n) {
    RegexFilter filter(std::make_shared<const Regex>(pattern));
    std::string out;
    for (size_t at = 0; at < text.size(); at += n) {
        out += filter.push(text.substr(at, n));
    }
    return {out + filter.flush(), filter.matched()};
}

bool refused(const std::string & pattern) {
    try {
        const Regex regex(pattern);
        return false;
    } catch (const Error & error) {
        return error.code == Errc::invalid_option && error.where == "StreamConfig.stop_regex";
    }
}

} // namespace

TEST(a_match_is_found_in_any_pieces) {
    const struct {
        const char * pattern;
        const char * text;
        const char * before;
        const char * matched;
    } cases[] = {
        {"\\d+", "in 1984 it", "in ", "1"},
        {"a|b", "xxb", "xx", "b"},
        {"abcd|bc", "zabcx", "za", "bc"},
        {"ab?c", "xabc", "x", "abc"},
        {"(ab){2,3}", "abxababab", "abx", "abab"},
        {"(?:\\n\\s*){2}", "a\n \nb", "a", "\n \n"},
        {"\\bcat\\b", "concat cat.", "concat ", "cat"},
        {"cat\\B", "cat cats", "cat ", "cat"},
        {"^no", "no", "", "no"},
        {"[^a-y ]", "hello z", "hello ", "z"},
        {"[\\]\\-x]", "a-b", "a", "-"},
        {"(?i)STOP[!.]", "please sToP!", "please ", "sToP!"},
        {"a.c", "a\nc abc", "a\nc ", "abc"},
        {"(?s)a.c", "xa\nc", "x", "a\nc"},
        {"\\x41\\u0042", "xAB", "x", "AB"},
        {"x*?y", "axxy", "a", "xxy"},
        {"a{2}", "baaa", "b", "aa"},
        {"\\.{3}", "wait...", "wait", "..."},
    };
    for (const auto & [pattern, text, before, matched] : cases) {
        for (size_t n = 1; n <= 12; ++n) {
            const Shown got = shown(pattern, text, n);
            CHECK((got == Shown{before, matched}));
            if (got != Shown{before, matched}) {
                std::cerr << "  " << pattern << " in " << text << " by " << n << ": " << got.text << " | "
                          << got.matched.value_or("none") << "\n";
            }
        }
    }
}

TEST(text_without_a_match_is_not_lost) {
    for (size_t n = 1; n < 9; ++n) {
        CHECK((shown("END", "EN EE ENEN", n) == Shown{"EN EE ENEN", std::nullopt}));
        CHECK((shown("^no", "and no", n) == Shown{"and no", std::nullopt}));
        CHECK((shown("x\\b", "xa xa", n) == Shown{"xa xa", std::nullopt}));
    }
}

TEST(only_what_could_become_a_match_is_held_back) {
    RegexFilter filter(std::make_shared<const Regex>("\\d+€"));
    CHECK(filter.push("costs 12") == "costs ");
    CHECK(filter.push("3").empty());
    CHECK(filter.push(" or 7") == "123 or ");
    CHECK(filter.push("€!").empty());
    CHECK(filter.matched() == "7€");
    CHECK(filter.push("more").empty());
    CHECK(filter.flush().empty());
}

TEST(a_text_stream_stops_at_whichever_comes_first) {
    const auto regex = std::make_shared<const Regex>("[0-9]");
    for (size_t n = 1; n < 9; ++n) {
        const auto run = [&](const std::string & text) {
            TextStream stream({"STOP"}, regex);
            std::string out;
            for (size_t at = 0; at < text.size(); at += n) {
                out += stream.push(text.substr(at, n));
            }
            return Shown{out + stream.flush(), stream.stopped_by()};
        };
        CHECK((run("aé1STOP") == Shown{"aé", "1"}));
        CHECK((run("aéSTOP1") == Shown{"aé", "STOP"}));
        CHECK((run("aéSTO") == Shown{"aéSTO", std::nullopt}));
    }
}

TEST(malformed_patterns_are_refused) {
    for (const char * pattern : {"", "a*", "(", ")", "(a", "[a", "a{2", "a{3,2}", "a{1001}", "*a", "a$", "\\q", "(?=a)", "(?<n>a)",
                                 "\\1", "[z-a]", "\\x4", "\\", "(?i", "\\b", "^", "a|", "\xFF", "(((a{100}){100}){100})",
                                 "b(((a{0}){1000}){1000}){1000}"}) {
        CHECK(refused(pattern));
        if (!refused(pattern)) {
            std::cerr << "  " << pattern << "\n";
        }
    }
    CHECK(refused(std::string(100'000, '(')));
    CHECK(refused("a" + std::string(100'000, '+')));
}

TEST(time_is_linear_whatever_the_pattern) {
    const auto began = std::chrono::steady_clock::now();
    const std::string text(50'000, 'a');
    CHECK(shown("(a*)*b", text, 3).matched == std::nullopt);
    CHECK(shown("(a|a)*(a|aa)+c", text, 3).matched == std::nullopt);
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
}
