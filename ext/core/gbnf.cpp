#include "gbnf.hpp"

#include "text.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace mullama {

namespace {

constexpr uint32_t last_code_point = 0x10FFFF;

bool is_surrogate(uint32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

CharRanges normalised(CharRanges ranges, bool negate) {
    std::sort(ranges.begin(), ranges.end());
    CharRanges out;
    for (const auto & [low, high] : ranges) {
        if (!out.empty() && low <= out.back().second + 1) {
            out.back().second = std::max(out.back().second, high);
        } else {
            out.emplace_back(low, high);
        }
    }
    if (!negate) {
        return out;
    }
    CharRanges inverse;
    uint32_t next = 0;
    for (const auto & [low, high] : out) {
        if (low > next) {
            inverse.emplace_back(next, low - 1);
        }
        next = high + 1;
    }
    if (next <= last_code_point) {
        inverse.emplace_back(next, last_code_point);
    }
    return inverse;
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    GbnfRules parse(std::string_view root) {
        skip(true);
        if (at_end()) {
            fail("the grammar is empty; expected a rule such as root ::= \"yes\" | \"no\"");
        }
        while (!at_end()) {
            rule();
        }
        for (size_t i = 0; i < out_.rules.size(); ++i) {
            if (!defined_[i]) {
                fail_at(uses_[i], "the rule '" + out_.rules[i].name + "' is used and not defined");
            }
        }
        const auto found = index_.find(std::string(root));
        if (found == index_.end()) {
            throw Error(Errc::grammar, "there is no rule '" + std::string(root) + "' to start from", "line 1, column 1",
                        "Name the first rule root, or say which one it is");
        }
        out_.root = found->second;
        return std::move(out_);
    }

  private:
    struct Place {
        int32_t line = 1;
        int32_t column = 1;
    };

    bool at_end() const { return at_ >= text_.size(); }
    char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    void step() {
        if (text_[at_] == '\n') {
            ++place_.line;
            place_.column = 1;
        } else if ((static_cast<uint8_t>(text_[at_]) & 0xC0) != 0x80) {
            ++place_.column;
        }
        ++at_;
    }
    void steps(size_t count) {
        for (size_t i = 0; i < count; ++i) {
            step();
        }
    }

    [[noreturn]] void fail(const std::string & what) const { fail_at(place_, what); }
    [[noreturn]] static void fail_at(Place place, const std::string & what) {
        throw Error(Errc::grammar, what,
                    "line " + std::to_string(place.line) + ", column " + std::to_string(place.column));
    }
    std::string found() const {
        if (at_end()) {
            return "the end";
        }
        if (peek() == '\n' || peek() == '\r') {
            return "the end of the line";
        }
        size_t length = 1;
        while (at_ + length < text_.size() && (static_cast<uint8_t>(text_[at_ + length]) & 0xC0) == 0x80) {
            ++length;
        }
        return "'" + valid_utf8(text_.substr(at_, length)) + "'";
    }
    [[noreturn]] void expected(const std::string & what) const { fail("expected " + what + ", found " + found()); }

    void skip(bool newlines) {
        while (!at_end()) {
            const char c = peek();
            if (c == '#') {
                while (!at_end() && peek() != '\n' && peek() != '\r') {
                    step();
                }
            } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
                step();
            } else {
                return;
            }
        }
    }

    static bool is_name(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    }

    int32_t named(const std::string & name) {
        const auto [entry, added] = index_.try_emplace(name, static_cast<int32_t>(out_.rules.size()));
        if (added) {
            if (out_.rules.size() >= gbnf_limits::rules) {
                fail("more than " + std::to_string(gbnf_limits::rules) + " rules");
            }
            out_.rules.push_back({name, {}});
            defined_.push_back(false);
            uses_.push_back(place_);
        }
        return entry->second;
    }

    std::string name() {
        size_t length = 0;
        while (is_name(peek(length))) {
            ++length;
        }
        return std::string(text_.substr(at_, length));
    }

    void rule() {
        if (!is_name(peek())) {
            expected("the name of a rule (letters, digits and -)");
        }
        const Place start = place_;
        const std::string called = name();
        const auto index = static_cast<size_t>(named(called));
        steps(called.size());
        skip(false);
        if (text_.substr(at_, 3) != "::=") {
            expected("::= after the name of the rule");
        }
        if (defined_[index]) {
            fail_at(start, "the rule '" + called + "' is defined twice");
        }
        steps(3);
        skip(true);
        GbnfNode body = choice(false, 0);
        out_.rules[index].body = std::move(body);
        defined_[index] = true;
        if (!at_end() && peek() != '\n' && peek() != '\r') {
            expected("an item, '|' or the end of the line");
        }
        skip(true);
    }

    GbnfNode made(GbnfNode::Kind kind) const {
        GbnfNode node;
        node.kind = kind;
        node.line = place_.line;
        node.column = place_.column;
        return node;
    }

    GbnfNode choice(bool nested, int32_t depth) {
        GbnfNode node = made(GbnfNode::Kind::choice);
        node.children.push_back(sequence(nested, depth));
        while (peek() == '|') {
            step();
            skip(true);
            node.children.push_back(sequence(nested, depth));
        }
        if (node.children.size() == 1) {
            GbnfNode only = std::move(node.children[0]);
            return only;
        }
        return node;
    }

    GbnfNode sequence(bool nested, int32_t depth) {
        GbnfNode node = made(GbnfNode::Kind::sequence);
        while (!at_end()) {
            const char c = peek();
            if (c == '*' || c == '+' || c == '?' || c == '{') {
                if (node.children.empty()) {
                    fail(std::string("there is nothing before '") + c + "' to repeat");
                }
                repeat(node.children.back(), nested);
            } else if (auto item = one(depth)) {
                node.children.push_back(std::move(*item));
            } else {
                break;
            }
            skip(nested);
        }
        if (node.children.size() == 1) {
            GbnfNode only = std::move(node.children[0]);
            return only;
        }
        return node;
    }

    std::optional<GbnfNode> one(int32_t depth) {
        const char c = peek();
        if (c == '"') {
            return literal();
        }
        if (c == '[') {
            return chars();
        }
        if (c == '<' || c == '!') {
            return token();
        }
        if (c == '.') {
            GbnfNode node = made(GbnfNode::Kind::chars);
            node.ranges = {{0, last_code_point}};
            step();
            return node;
        }
        if (c == '(') {
            if (depth >= gbnf_limits::depth) {
                fail("parentheses more than " + std::to_string(gbnf_limits::depth) + " deep");
            }
            const Place open = place_;
            step();
            skip(true);
            GbnfNode node = choice(true, depth + 1);
            if (peek() != ')') {
                expected("')' for the '(' of line " + std::to_string(open.line) + ", column " +
                         std::to_string(open.column));
            }
            step();
            return node;
        }
        if (is_name(c)) {
            GbnfNode node = made(GbnfNode::Kind::rule);
            const std::string called = name();
            node.rule = named(called);
            steps(called.size());
            return node;
        }
        return std::nullopt;
    }

    uint32_t hex(size_t digits) {
        uint32_t value = 0;
        for (size_t i = 0; i < digits; ++i) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) {
                expected(std::to_string(digits) + " hexadecimal digits");
            }
            value = value * 16 + static_cast<uint32_t>(digit);
            step();
        }
        if (value > last_code_point) {
            fail("there is no character above U+10FFFF");
        }
        return value;
    }

    uint32_t character(const char * ends) {
        if (at_end()) {
            expected(ends);
        }
        if (peek() == '\\') {
            step();
            const char c = peek();
            if (std::string_view("xuU").find(c) != std::string_view::npos && !at_end()) {
                step();
                return hex(c == 'x' ? 2 : c == 'u' ? 4 : 8);
            }
            const std::string_view from = "trn\\\"[]-";
            const std::string_view to = "\t\r\n\\\"[]-";
            const size_t known = at_end() ? std::string_view::npos : from.find(c);
            if (known == std::string_view::npos) {
                expected(R"(an escape: \t \r \n \\ \" \[ \] \- \xHH \uHHHH \UHHHHHHHH)");
            }
            step();
            return static_cast<uint8_t>(to[known]);
        }
        const auto lead = static_cast<uint8_t>(peek());
        const size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        const std::string_view bytes = text_.substr(at_, length);
        if (bytes.size() < length || valid_utf8(bytes) != bytes) {
            fail("this is not valid UTF-8");
        }
        uint32_t value = length == 1 ? lead : lead & (0x7FU >> length);
        for (size_t i = 1; i < length; ++i) {
            value = (value << 6U) | (static_cast<uint8_t>(bytes[i]) & 0x3FU);
        }
        steps(length);
        return value;
    }

    GbnfNode literal() {
        GbnfNode node = made(GbnfNode::Kind::text);
        step();
        while (peek() != '"' || at_end()) {
            const Place start = place_;
            const uint32_t c = character("'\"' to end the text");
            if (is_surrogate(c)) {
                fail_at(start, "half of a surrogate pair is not a character");
            }
            node.text.push_back(c);
        }
        step();
        return node;
    }

    GbnfNode chars() {
        GbnfNode node = made(GbnfNode::Kind::chars);
        const Place start = place_;
        step();
        const bool negate = peek() == '^';
        if (negate) {
            step();
        }
        while (peek() != ']' || at_end()) {
            const Place first = place_;
            const uint32_t low = character("']' to end the class");
            uint32_t high = low;
            if (peek() == '-' && peek(1) != ']') {
                step();
                high = character("']' to end the class");
            }
            if (high < low) {
                fail_at(first, "the range runs backwards");
            }
            node.ranges.emplace_back(low, high);
        }
        if (node.ranges.empty()) {
            fail_at(start, "the class holds no character");
        }
        node.ranges = normalised(std::move(node.ranges), negate);
        const bool none = std::all_of(node.ranges.begin(), node.ranges.end(), [](const auto & range) {
            return is_surrogate(range.first) && is_surrogate(range.second);
        });
        if (none) {
            fail_at(start, "no character is in this class");
        }
        step();
        return node;
    }

    GbnfNode token() {
        GbnfNode node = made(GbnfNode::Kind::token);
        if (peek() == '!') {
            node.negated = true;
            step();
            if (peek() != '<') {
                expected("'<' of a token after '!'");
            }
        }
        step();
        const size_t end = text_.find_first_of(">\n", at_);
        if (end == std::string_view::npos || text_[end] != '>' || end == at_) {
            expected("a token such as <name> or <[id]>");
        }
        node.token = std::string(text_.substr(at_, end - at_));
        if (node.token.front() == '[') {
            const bool digits = node.token.size() > 2 && node.token.size() < 12 && node.token.back() == ']' &&
                                node.token.find_first_not_of("0123456789", 1) == node.token.size() - 1;
            if (!digits) {
                expected("a token id such as <[42]>");
            }
        } else {
            node.token = "<" + node.token + ">";
        }
        steps(end - at_ + 1);
        return node;
    }

    int32_t count(bool nested) {
        if (peek() < '0' || peek() > '9') {
            expected("a number");
        }
        int64_t value = 0;
        const Place start = place_;
        while (peek() >= '0' && peek() <= '9') {
            value = std::min<int64_t>(value * 10 + (peek() - '0'), 1000000000);
            step();
        }
        if (value > gbnf_limits::repeat) {
            fail_at(start, "a repetition may count to " + std::to_string(gbnf_limits::repeat) + " at most");
        }
        skip(nested);
        return static_cast<int32_t>(value);
    }

    void repeat(GbnfNode & item, bool nested) {
        GbnfNode node = made(GbnfNode::Kind::repeat);
        const Place start = place_;
        const char c = peek();
        step();
        if (c == '{') {
            skip(nested);
            node.min = node.max = count(nested);
            if (peek() == ',') {
                step();
                skip(nested);
                node.max = peek() == '}' ? -1 : count(nested);
            }
            if (peek() != '}') {
                expected("'}' or ','");
            }
            step();
            if (node.max >= 0 && node.max < node.min) {
                fail_at(start, "the repetition ends before it begins");
            }
        } else {
            node.min = c == '+' ? 1 : 0;
            node.max = c == '?' ? 1 : -1;
        }
        node.children.push_back(std::move(item));
        // a** and the like add a level without a parenthesis
        int32_t levels = 0;
        for (const GbnfNode * inner = &node; inner->kind == GbnfNode::Kind::repeat; inner = &inner->children[0]) {
            if (++levels > 10) {
                fail_at(start, "more than 10 repetitions on one item");
            }
        }
        item = std::move(node);
    }

    std::string_view text_;
    size_t at_ = 0;
    Place place_;
    GbnfRules out_;
    std::map<std::string, int32_t> index_;
    std::vector<bool> defined_;
    std::vector<Place> uses_; // first mention of each rule
};

} // namespace

GbnfRules parse_gbnf(std::string_view text, std::string_view root) {
    if (text.size() > gbnf_limits::text) {
        throw Error(Errc::grammar, "it has " + std::to_string(text.size()) + " bytes", "line 1, column 1",
                    "A grammar may have " + std::to_string(gbnf_limits::text) + " at most");
    }
    GbnfRules rules = Parser(text).parse(root);
    check_gbnf(rules);
    return rules;
}

} // namespace mullama
