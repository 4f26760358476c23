#include "template_check.hpp"

#include <jinja/lexer.h> // llama.cpp's common

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

namespace mullama {

namespace {

using jinja::token;

// Several times what the deepest known templates have.
constexpr int most_brackets = 100; // open at once
constexpr int most_blocks = 100;   // {% if %} and its kind, likewise
constexpr int most_branches = 500; // {% elif %} in all
constexpr int most_tokens = 5000;  // in one tag
constexpr int most_prefixes = 100; // not, - and ternary else in one tag
constexpr size_t most_digits = 7;  // of a number: 'a' * 100000000 is a lot of memory

constexpr std::array<std::string_view, 5> block_names{"if", "for", "macro", "call", "filter"};

bool is_block(std::string_view name) {
    return std::find(block_names.begin(), block_names.end(), name) != block_names.end();
}

// How deep upstream's parser is in calls of itself, as far as its tokens say.
class Nesting {
  public:
    void read(const token & now) {
        switch (now.t) {
            case token::open_statement:
            case token::open_expression: brackets_ = tokens_ = prefixes_ = 0; break;
            case token::open_paren:
            case token::open_square_bracket:
            case token::open_curly_bracket: ++brackets_; break;
            case token::close_paren:
            case token::close_square_bracket:
            case token::close_curly_bracket: --brackets_; break;
            case token::unary_operator: ++prefixes_; break;
            case token::equals: set_ = set_ && brackets_ > 0; break; // {% set x = 1 %} has no end
            case token::close_statement:
                blocks_ += set_;
                set_ = false;
                break;
            case token::identifier: word(now.value); break;
            case token::numeric_literal:
                demand(now.value.size() > most_digits && now.value.find('.') == std::string::npos ? 1 : 0, 0,
                       "digits in a number");
                break;
            default: break;
        }
        ++tokens_;
        before_ = now.t;
        demand(brackets_, most_brackets, "brackets within brackets");
        demand(blocks_, most_blocks, "blocks within blocks");
        demand(branches_, most_branches, "branches");
        demand(tokens_, most_tokens, "words in one tag");
        demand(prefixes_, most_prefixes, "operators before one another");
    }

  private:
    void word(std::string_view text) {
        if (before_ != token::open_statement) {
            prefixes_ += text == "not" || text == "else";
            return;
        }
        set_ = text == "set";
        blocks_ += is_block(text);
        branches_ += text == "elif";
        if (text.starts_with("end") && (is_block(text.substr(3)) || text == "endset")) {
            --blocks_;
        }
    }
    static void demand(int count, int most, const char * what) {
        if (count > most) {
            throw std::runtime_error(std::string("it has too many ") + what);
        }
    }

    token::type before_ = token::text;
    bool set_ = false; // in {% set ... %}, no = so far
    int brackets_ = 0;
    int blocks_ = 0;
    int branches_ = 0;
    int tokens_ = 0;
    int prefixes_ = 0;
};

} // namespace

void check_template(const std::string & source) {
    Nesting nesting;
    for (const token & now : jinja::lexer().tokenize(source).tokens) {
        nesting.read(now);
    }
}

} // namespace mullama
