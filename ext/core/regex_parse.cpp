// From a pattern to a program: a tree by recursive descent, then Thompson's construction.
#include "error.hpp"
#include "regex.hpp"
#include "text.hpp"

#include <algorithm>
#include <utility>

namespace mullama {

namespace {

constexpr size_t most_instructions = 5000;
constexpr int deepest = 100; // nested groups
constexpr int most_repeats = 1000;
constexpr int most_quantifiers = 500;
constexpr size_t most_steps = 100'000; // of the compiler; empty parts can be repeated for ever

struct Node {
    enum class Kind { set, sequence, choice, repeat, assertion };
    Kind kind = Kind::sequence;
    CharSet set;
    Regex::Op assertion = Regex::Op::match;
    int min = 1;
    int max = 1; // negative: any number
    std::vector<Node> parts;
};

bool can_be_empty(const Node & node) {
    switch (node.kind) {
        case Node::Kind::set: return false;
        case Node::Kind::assertion: return true;
        case Node::Kind::sequence: return std::all_of(node.parts.begin(), node.parts.end(), can_be_empty);
        case Node::Kind::choice: return std::any_of(node.parts.begin(), node.parts.end(), can_be_empty);
        case Node::Kind::repeat: return node.min == 0 || can_be_empty(node.parts.front());
    }
    return true;
}

class Parser {
  public:
    explicit Parser(std::string_view pattern) : text_(pattern), left_(pattern) {
        if (valid_utf8(pattern) != pattern) {
            fail("it is not valid UTF-8");
        }
    }

    Node parse() {
        flags();
        Node node = choice(0);
        if (!left_.empty()) {
            fail("a ) without its (");
        }
        if (can_be_empty(node)) {
            fail("it matches the empty text, which would end every answer at once");
        }
        return node;
    }

    [[noreturn]] void fail(const std::string & why) const {
        throw Error(Errc::invalid_option, why + ", at byte " + std::to_string(text_.size() - left_.size()) + " of " + std::string(text_),
                    "StreamConfig.stop_regex", "Back references, lookaround and $ are not to be had here");
    }

  private:
    void flags() {
        if (!left_.starts_with("(?") || left_.size() < 3 || (left_[2] != 'i' && left_[2] != 's')) {
            return;
        }
        for (left_.remove_prefix(2); !left_.empty() && left_[0] != ')'; left_.remove_prefix(1)) {
            fold_case_ = fold_case_ || left_[0] == 'i';
            dot_is_all_ = dot_is_all_ || left_[0] == 's';
            if (left_[0] != 'i' && left_[0] != 's') {
                fail("an unknown flag");
            }
        }
        if (!take(')')) {
            fail("flags without their )");
        }
    }

    bool take(char c) {
        if (left_.empty() || left_[0] != c) {
            return false;
        }
        left_.remove_prefix(1);
        return true;
    }

    char32_t take_char() {
        const auto [c, length] = first_char(left_);
        left_.remove_prefix(length);
        return c;
    }

    Node choice(int depth) {
        if (depth > deepest) {
            fail("groups are nested too deeply");
        }
        Node node;
        node.kind = Node::Kind::choice;
        node.parts.push_back(sequence(depth));
        while (take('|')) {
            node.parts.push_back(sequence(depth));
        }
        if (node.parts.size() > 1) {
            return node;
        }
        Node only = std::move(node.parts.front());
        return only;
    }

    Node sequence(int depth) {
        Node node;
        while (!left_.empty() && left_[0] != '|' && left_[0] != ')') {
            node.parts.push_back(repeated(atom(depth)));
        }
        return node;
    }

    Node repeated(Node node) {
        for (;;) {
            Node repeat;
            repeat.kind = Node::Kind::repeat;
            if (take('*')) {
                repeat.min = 0;
                repeat.max = -1;
            } else if (take('+')) {
                repeat.max = -1;
            } else if (take('?')) {
                repeat.min = 0;
            } else if (!left_.empty() && left_[0] == '{') {
                bounds(repeat);
            } else {
                return node;
            }
            take('?'); // lazy: no difference to where the first match ends
            repeat.parts.push_back(std::move(node));
            node = std::move(repeat);
            if (++repeats_ > most_quantifiers) {
                fail("too many repetitions");
            }
        }
    }

    void bounds(Node & repeat) {
        take('{');
        repeat.min = number();
        repeat.max = take(',') ? (!left_.empty() && left_[0] == '}' ? -1 : number()) : repeat.min;
        if (!take('}') || (repeat.max >= 0 && repeat.max < repeat.min)) {
            fail("a repetition is written {m}, {m,} or {m,n}; write \\{ for a brace");
        }
    }

    int number() {
        int value = 0;
        size_t digits = 0;
        for (; !left_.empty() && left_[0] >= '0' && left_[0] <= '9' && digits < 5; ++digits) {
            value = value * 10 + (left_[0] - '0');
            left_.remove_prefix(1);
        }
        if (digits == 0 || value > most_repeats) {
            fail("a repetition counts from 0 to " + std::to_string(most_repeats) + "; write \\{ for a brace");
        }
        return value;
    }

    Node atom(int depth) {
        if (take('(')) {
            if (take('?') && !take(':')) {
                fail("of the (?...) groups only (?:...) is known here, and flags at the start");
            }
            Node node = choice(depth + 1);
            if (!take(')')) {
                fail("a ( without its )");
            }
            return node;
        }
        Node node;
        node.kind = Node::Kind::set;
        node.set.fold_case = fold_case_;
        if (take('[')) {
            node.set = char_class();
        } else if (take('.')) {
            node.set.negated = true;
            node.set.ranges = dot_is_all_ ? std::vector<CharRange>{} : std::vector<CharRange>{{'\n', '\n'}};
        } else if (take('^')) {
            return assertion(Regex::Op::at_start);
        } else if (take('\\')) {
            if (take('b')) {
                return assertion(Regex::Op::at_border);
            }
            if (take('B')) {
                return assertion(Regex::Op::not_at_border);
            }
            escape(node.set, false);
        } else if (left_[0] == '$') {
            fail("$ has no meaning in a text that goes on");
        } else if (std::string_view("*+?{").find(left_[0]) != std::string_view::npos) {
            fail("nothing to repeat");
        } else {
            const char32_t c = take_char();
            node.set.ranges = {{c, c}};
        }
        return node;
    }

    static Node assertion(Regex::Op op) {
        Node node;
        node.kind = Node::Kind::assertion;
        node.assertion = op;
        return node;
    }

    CharSet char_class() {
        CharSet set;
        set.fold_case = fold_case_;
        set.negated = take('^');
        for (bool first = true; first || !take(']'); first = false) {
            if (left_.empty()) {
                fail("a [ without its ]");
            }
            const size_t before = set.ranges.size();
            const bool escaped = take('\\');
            if (escaped) {
                escape(set, true);
            } else {
                const char32_t c = take_char();
                set.ranges.push_back({c, c});
            }
            const bool single = set.ranges.size() == before + 1 && set.ranges.back().first == set.ranges.back().last;
            if (single && left_.size() > 1 && left_[0] == '-' && left_[1] != ']') {
                take('-');
                CharSet end;
                if (take('\\')) {
                    escape(end, true);
                } else {
                    const char32_t c = take_char();
                    end.ranges = {{c, c}};
                }
                if (end.ranges.size() != 1 || end.ranges[0].first < set.ranges.back().first) {
                    fail("a range in [] that runs backwards or has no end");
                }
                set.ranges.back().last = end.ranges[0].last;
            }
        }
        return set;
    }

    void escape(CharSet & set, bool in_class) {
        if (left_.empty()) {
            fail("a \\ at the end");
        }
        const char32_t c = take_char();
        const auto add = [&](std::vector<CharRange> ranges) {
            set.ranges.insert(set.ranges.end(), ranges.begin(), ranges.end());
        };
        constexpr char32_t last = 0x10FFFF;
        switch (c) {
            case 'd': add({{'0', '9'}}); return;
            case 'D': add({{0, '0' - 1}, {'9' + 1, last}}); return;
            case 'w': add({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}); return;
            case 'W': add({{0, '0' - 1}, {'9' + 1, 'A' - 1}, {'Z' + 1, '_' - 1}, {'`', '`'}, {'z' + 1, last}}); return;
            case 's': add({{'\t', '\r'}, {' ', ' '}}); return;
            case 'S': add({{0, '\t' - 1}, {'\r' + 1, ' ' - 1}, {' ' + 1, last}}); return;
            case 'n': add({{'\n', '\n'}}); return;
            case 't': add({{'\t', '\t'}}); return;
            case 'r': add({{'\r', '\r'}}); return;
            case 'f': add({{'\f', '\f'}}); return;
            case 'v': add({{'\v', '\v'}}); return;
            case 'b':
                if (in_class) {
                    add({{'\b', '\b'}});
                    return;
                }
                break;
            case 'x': hex(set, 2); return;
            case 'u': hex(set, 4); return;
            default: break;
        }
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
            fail("an escape that is not known here");
        }
        add({{c, c}});
    }

    void hex(CharSet & set, int digits) {
        char32_t value = 0;
        for (int i = 0; i < digits; ++i) {
            const size_t digit = left_.empty() ? 16 : std::string_view("0123456789abcdef").find(static_cast<char>(left_[0] | 0x20));
            if (digit > 15 || left_[0] < '0') {
                fail("\\x takes 2 and \\u takes 4 hexadecimal digits");
            }
            value = value * 16 + static_cast<char32_t>(digit);
            left_.remove_prefix(1);
        }
        set.ranges.push_back({value, value});
    }

    std::string_view text_;
    std::string_view left_;
    bool fold_case_ = false;
    bool dot_is_all_ = false;
    int repeats_ = 0;
};

class Compiler {
  public:
    Compiler(std::vector<Regex::Instruction> & program, const Parser & parser) : program_(program), parser_(parser) {}

    void compile(const Node & node) {
        if (++steps_ > most_steps) {
            parser_.fail("it is too large");
        }
        switch (node.kind) {
            case Node::Kind::set: emit({Regex::Op::set, 0, 0, node.set}); return;
            case Node::Kind::assertion: emit({node.assertion, 0, 0, {}}); return;
            case Node::Kind::sequence:
                for (const Node & part : node.parts) {
                    compile(part);
                }
                return;
            case Node::Kind::choice: compile_choice(node); return;
            case Node::Kind::repeat: compile_repeat(node); return;
        }
    }

    uint32_t emit(Regex::Instruction instruction) {
        if (program_.size() >= most_instructions) {
            parser_.fail("it is too large");
        }
        program_.push_back(std::move(instruction));
        return static_cast<uint32_t>(program_.size() - 1);
    }

  private:
    uint32_t here() const { return static_cast<uint32_t>(program_.size()); }

    void compile_choice(const Node & node) {
        std::vector<uint32_t> ends;
        for (size_t i = 0; i < node.parts.size(); ++i) {
            const bool last = i + 1 == node.parts.size();
            const uint32_t split = last ? 0 : emit({Regex::Op::split, here() + 1, 0, {}});
            compile(node.parts[i]);
            if (!last) {
                ends.push_back(emit({Regex::Op::jump, 0, 0, {}}));
                program_[split].other = here();
            }
        }
        for (const uint32_t end : ends) {
            program_[end].to = here();
        }
    }

    void compile_repeat(const Node & node) {
        const Node & part = node.parts.front();
        for (int i = 0; i < node.min; ++i) {
            compile(part);
        }
        if (node.max < 0) {
            const uint32_t split = emit({Regex::Op::split, here() + 1, 0, {}});
            compile(part);
            emit({Regex::Op::jump, split, 0, {}});
            program_[split].other = here();
            return;
        }
        std::vector<uint32_t> splits;
        for (int i = node.min; i < node.max; ++i) {
            splits.push_back(emit({Regex::Op::split, here() + 1, 0, {}}));
            compile(part);
        }
        for (const uint32_t split : splits) {
            program_[split].other = here();
        }
    }

    std::vector<Regex::Instruction> & program_;
    const Parser & parser_;
    size_t steps_ = 0;
};

} // namespace

Regex::Regex(std::string_view pattern) {
    Parser parser(pattern);
    const Node tree = parser.parse();
    Compiler compiler(program_, parser);
    compiler.compile(tree);
    compiler.emit({Op::match, 0, 0, {}});
}

} // namespace mullama
