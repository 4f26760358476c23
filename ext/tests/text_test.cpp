#include "check.hpp"
#include "text.hpp"

using namespace mullama;

namespace {

// What a stream shows of text fed in pieces of n bytes, flushed at the end.
std::string shown(const std::string & text, size_t n, std::vector<std::string> stops = {}) {
    TextStream stream(std::move(stops));
    std::string out;
    for (size_t at = 0; at < text.size(); at += n) {
        const std::string piece = stream.push(text.substr(at, n));
        CHECK(incomplete_utf8(piece) == 0);
        out += piece;
    }
    return out + stream.flush();
}

} // namespace

TEST(text_is_the_same_in_any_pieces) {
    const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 z"; // a é € emoji z
    for (size_t n = 1; n <= text.size() + 1; ++n) {
        CHECK(shown(text, n) == text);
    }
}

TEST(a_character_waits_until_it_is_whole) {
    TextStream stream({});
    CHECK(stream.push("\xF0\x9F").empty());
    CHECK(stream.push("\x98").empty());
    CHECK(stream.push("\x80!") == "\xF0\x9F\x98\x80!");
}

TEST(malformed_bytes_become_replacement_characters) {
    const std::string bad = "\xEF\xBF\xBD";
    CHECK(shown("a\xFFz", 1) == "a" + bad + "z");
    CHECK(shown("\xE2\x82", 1) == bad);            // cut off at the end
    CHECK(shown("\xC0\xAF", 1) == bad + bad);      // overlong
    CHECK(shown("\xED\xA0\x80", 1) == bad + bad + bad); // surrogate
    CHECK(shown("\xF4\x90\x80\x80", 1) == bad + bad + bad + bad); // beyond U+10FFFF
    CHECK(shown("\xE2(", 1) == bad + "(");
}

TEST(stop_strings_end_the_text_wherever_they_are_cut) {
    for (size_t n = 1; n < 12; ++n) {
        CHECK(shown("hello STOP world", n, {"STOP"}) == "hello ");
        CHECK(shown("aaab", n, {"aab"}) == "a");
        CHECK(shown("xSTOPyHALT", n, {"HALT", "STOP"}) == "x");
        CHECK(shown("no end STO", n, {"STOP"}) == "no end STO"); // a mere beginning is shown
    }
}

TEST(what_could_begin_a_stop_string_is_held_back) {
    TextStream stream({"\nUser:"});
    CHECK(stream.push("fine\nUs") == "fine");
    CHECK(!stream.stopped_by());
    CHECK(stream.push("ing") == "\nUsing");
    CHECK(stream.push("\nUser: x").empty());
    CHECK(stream.stopped_by() == "\nUser:");
    CHECK(stream.push("more").empty());
}

TEST(nesting_is_not_hidden_by_quotes) {
    CHECK(nesting("no brackets") == 0);
    CHECK(nesting(R"({"a": [1, {"b": []}], "c": []})") == 4);
    CHECK(nesting("[][][]") == 1);
    CHECK(nesting("]]]][") == 1);
    std::string sly = "\"";
    for (int i = 0; i < 100; ++i) {
        sly += R"({"}":)";
    }
    CHECK(nesting(sly) == 100);
    CHECK(nesting(sly.substr(1)) == 100);
}
