// GBNF text to rules, with every error placed, and nothing let through that could not be run.
#pragma once

#include "error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mullama {

using CharRanges = std::vector<std::pair<uint32_t, uint32_t>>; // inclusive, sorted, apart

struct GbnfNode {
    enum class Kind : uint8_t { text, chars, token, rule, sequence, choice, repeat } kind = Kind::sequence;
    std::vector<uint32_t> text;     // text: code points
    CharRanges ranges;              // chars
    std::string token;              // token: what stands between < and >, or [id]
    bool negated = false;           // token: any other than this one
    int32_t rule = -1;              // rule: its index
    int32_t min = 0;                // repeat
    int32_t max = -1;               // repeat; negative: without end
    std::vector<GbnfNode> children; // sequence, choice; one for repeat
    int32_t line = 0;               // where it stands in its text, from 1
    int32_t column = 0;             // in characters, from 1
};

struct GbnfRule {
    std::string name;
    GbnfNode body;
};

struct GbnfRules {
    std::vector<GbnfRule> rules;
    int32_t root = 0;
};

// What a grammar may take. They keep every operation on it below about a second.
namespace gbnf_limits {
inline constexpr size_t text = 4U << 20U; // bytes
inline constexpr int32_t depth = 100;     // of parentheses, and of rules at the start of each other: 20 times that
inline constexpr int32_t repeat = 10000;  // in {m,n}
inline constexpr size_t rules = 20000;
inline constexpr size_t states = 400000;  // once repetitions are written out
} // namespace gbnf_limits

// Throws Error(grammar) whose `where` is "line L, column C".
GbnfRules parse_gbnf(std::string_view text, std::string_view root);

// Refuses what can never match or would never end: left recursion, rules without a finite text,
// repetitions that are too large. parse_gbnf has done it already.
void check_gbnf(const GbnfRules & rules);

// As text that parses to the same rules. Where a rule began (line, column) is not kept.
std::string print_gbnf(const GbnfRules & rules);

} // namespace mullama
