// Regular expressions for text that arrives in pieces: linear time whatever the pattern, and at
// every moment it is known how much of the text could still become a match.
//
// Syntax: literals . [] [^] ( ) (?: ) | * + ? {m} {m,} {m,n} ^ (start of the text) \b \B
// \d \w \s \D \W \S (ASCII) \n \t \r \f \v \xHH \uHHHH, and (?i) (ASCII) and (?s) at the start.
// Lazy quantifiers are taken and mean the same here. Not there: back references, lookaround, $.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mullama {

struct CharRange {
    char32_t first;
    char32_t last;
};

struct CharSet {
    std::vector<CharRange> ranges;
    bool negated = false;
    bool fold_case = false;
    bool has(char32_t c) const;
};

// A compiled pattern. Immutable.
class Regex {
  public:
    enum class Op : uint8_t { set, split, jump, at_start, at_border, not_at_border, match };

    struct Instruction {
        Op op;
        uint32_t to = 0;    // split, jump
        uint32_t other = 0; // split
        CharSet set;
    };

    // Throws Error(invalid_option) on a pattern that is malformed, too large, or matches nothing at all
    // (the empty text).
    explicit Regex(std::string_view pattern);

    const std::vector<Instruction> & program() const { return program_; }

  private:
    std::vector<Instruction> program_;
};

// Lets text through up to the first match: the one that ends first, and of those the longest.
class RegexFilter {
  public:
    explicit RegexFilter(std::shared_ptr<const Regex> regex);

    // Adds valid UTF-8; returns what can no longer be part of a match.
    std::string push(std::string_view text);

    // What was held back, at the end.
    std::string flush();

    const std::optional<std::string> & matched() const { return matched_; }

  private:
    static constexpr size_t dead = SIZE_MAX;

    void follow(std::vector<size_t> & starts, uint32_t at, size_t start, std::optional<char32_t> next);
    bool step(char32_t c, size_t length); // true at a match

    std::shared_ptr<const Regex> regex_;
    std::vector<size_t> starts_; // for each live instruction, the leftmost beginning (a byte offset)
    std::vector<size_t> next_;
    std::vector<uint32_t> stack_;
    std::optional<char32_t> previous_;
    size_t position_ = 0; // bytes of text so far
    size_t out_ = 0;      // of them let through
    std::string held_;
    std::optional<std::string> matched_;
};

} // namespace mullama
