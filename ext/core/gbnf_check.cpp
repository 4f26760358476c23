// What a grammar must be beyond its syntax, and its way back to text.
#include "gbnf.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace mullama {

namespace {

using Kind = GbnfNode::Kind;

[[noreturn]] void refuse(const GbnfNode & node, const std::string & what, const std::string & hint = {}) {
    throw Error(Errc::grammar, what,
                node.line > 0 ? "line " + std::to_string(node.line) + ", column " + std::to_string(node.column)
                              : std::string(),
                hint);
}

class Check {
  public:
    explicit Check(const GbnfRules & all) : all_(all), nullable_(all.rules.size()), ends_(all.rules.size()) {}

    void run() {
        settle(nullable_, [this](const GbnfNode & node) { return may_be_empty(node); });
        settle(ends_, [this](const GbnfNode & node) { return can_end(node); });
        for (size_t i = 0; i < all_.rules.size(); ++i) {
            if (!ends_[i]) {
                refuse(all_.rules[i].body, "the rule '" + all_.rules[i].name + "' never ends",
                       "Give it an alternative that does not lead back to itself");
            }
        }
        find_left_recursion();
        uint64_t total = 0;
        for (const GbnfRule & rule : all_.rules) {
            total += size_of(rule.body);
        }
        if (total > gbnf_limits::states) {
            throw Error(Errc::grammar, "the grammar is too large: written out it has " + std::to_string(total) + " items", {},
                        "It may have " + std::to_string(gbnf_limits::states) + " at most");
        }
    }

  private:
    // Marks rules until no more follow from those already marked: each mark looks again at its users.
    template <class F> void settle(std::vector<bool> & marks, F && holds) {
        const auto users = users_of_rules();
        std::vector<size_t> todo;
        for (size_t i = 0; i < marks.size(); ++i) {
            todo.push_back(i);
        }
        while (!todo.empty()) {
            const size_t rule = todo.back();
            todo.pop_back();
            if (!marks[rule] && holds(all_.rules[rule].body)) {
                marks[rule] = true;
                todo.insert(todo.end(), users[rule].begin(), users[rule].end());
            }
        }
    }

    std::vector<std::vector<size_t>> users_of_rules() const {
        std::vector<std::vector<size_t>> users(all_.rules.size());
        for (size_t i = 0; i < all_.rules.size(); ++i) {
            collect(all_.rules[i].body, i, users);
        }
        return users;
    }
    static void collect(const GbnfNode & node, size_t user, std::vector<std::vector<size_t>> & users) {
        if (node.kind == Kind::rule) {
            auto & list = users[static_cast<size_t>(node.rule)];
            if (list.empty() || list.back() != user) {
                list.push_back(user);
            }
        }
        for (const GbnfNode & child : node.children) {
            collect(child, user, users);
        }
    }

    template <class F> static bool combine(const GbnfNode & node, F && holds) {
        return node.kind == Kind::choice ? std::any_of(node.children.begin(), node.children.end(), holds)
                                         : std::all_of(node.children.begin(), node.children.end(), holds);
    }
    bool may_be_empty(const GbnfNode & node) const {
        switch (node.kind) {
            case Kind::text: return node.text.empty();
            case Kind::chars:
            case Kind::token: return false;
            case Kind::rule: return nullable_[static_cast<size_t>(node.rule)];
            case Kind::repeat: return node.min == 0 || may_be_empty(node.children[0]);
            default: return combine(node, [this](const GbnfNode & child) { return may_be_empty(child); });
        }
    }
    bool can_end(const GbnfNode & node) const {
        switch (node.kind) {
            case Kind::rule: return ends_[static_cast<size_t>(node.rule)];
            case Kind::repeat: return node.min == 0 || can_end(node.children[0]);
            default: return combine(node, [this](const GbnfNode & child) { return can_end(child); });
        }
    }

    // Rules that may stand at the very start of the node.
    void first_rules(const GbnfNode & node, std::vector<const GbnfNode *> & out) const {
        if (node.kind == Kind::rule) {
            out.push_back(&node);
            return;
        }
        for (const GbnfNode & child : node.children) {
            first_rules(child, out);
            if (node.kind == Kind::sequence && !may_be_empty(child)) {
                return;
            }
        }
    }

    void find_left_recursion() const {
        struct Visit {
            size_t rule;
            std::vector<const GbnfNode *> first;
            size_t next = 0;
        };
        constexpr size_t deepest = 20U * static_cast<size_t>(gbnf_limits::depth);
        std::vector<uint8_t> state(all_.rules.size()); // 0 new, 1 open, 2 done
        std::vector<size_t> height(all_.rules.size());
        for (size_t start = 0; start < all_.rules.size(); ++start) {
            std::vector<Visit> open;
            const auto enter = [&](size_t rule) {
                state[rule] = 1;
                open.push_back({rule, {}});
                first_rules(all_.rules[rule].body, open.back().first);
            };
            if (state[start] == 0) {
                enter(start);
            }
            while (!open.empty()) {
                Visit & top = open.back();
                if (top.next == top.first.size()) {
                    state[top.rule] = 2;
                    const size_t reached = height[top.rule] + 1;
                    open.pop_back();
                    if (!open.empty()) {
                        height[open.back().rule] = std::max(height[open.back().rule], reached);
                    }
                    continue;
                }
                const GbnfNode & use = *top.first[top.next++];
                const auto rule = static_cast<size_t>(use.rule);
                if (state[rule] == 1) {
                    refuse(use, "the rule '" + all_.rules[rule].name + "' begins with itself (left recursion)",
                           "Write x* or put the repeated part last");
                }
                if (state[rule] == 0) {
                    enter(rule);
                } else {
                    height[top.rule] = std::max(height[top.rule], height[rule] + 1);
                }
                if (open.size() > deepest || height[open.back().rule] > deepest) {
                    refuse(use, "rules begin with rules more than " + std::to_string(deepest) + " deep");
                }
            }
        }
    }

    uint64_t size_of(const GbnfNode & node) const {
        uint64_t size = 1 + node.text.size() + 4 * node.ranges.size();
        for (const GbnfNode & child : node.children) {
            size += size_of(child);
        }
        if (node.kind == Kind::repeat) {
            const int32_t copies = node.max >= 0 ? std::max(node.max, 1) : node.min + 1;
            size *= static_cast<uint64_t>(copies);
            if (size > gbnf_limits::states) {
                refuse(node, "the repetition is too large: written out it has " + std::to_string(size) + " items",
                       "A whole grammar may have " + std::to_string(gbnf_limits::states));
            }
        }
        return std::min<uint64_t>(size, 1U << 30U);
    }

    const GbnfRules & all_;
    std::vector<bool> nullable_;
    std::vector<bool> ends_;
};

void print_char(uint32_t c, bool in_class, std::string & out) {
    const bool escape = c == '\\' || (in_class ? c == ']' || c == '[' || c == '-' || c == '^' : c == '"');
    std::array<char, 12> buffer{};
    if (c == '^') { // has no escape of its own
        out += "\\x5E";
    } else if (escape) {
        out += '\\';
        out += static_cast<char>(c);
    } else if (c >= 0x20 && c < 0x7F) {
        out += static_cast<char>(c);
    } else {
        std::snprintf(buffer.data(), buffer.size(), c < 0x100 ? "\\x%02X" : c < 0x10000 ? "\\u%04X" : "\\U%08X", c);
        out += buffer.data();
    }
}

void print(const GbnfRules & all, const GbnfNode & node, bool grouped, std::string & out) {
    const auto group = [&](auto && body) {
        out += grouped ? "(" : "";
        body();
        out += grouped ? ")" : "";
    };
    const auto join = [&](const char * between, bool inner) {
        for (size_t i = 0; i < node.children.size(); ++i) {
            out += i > 0 ? between : "";
            print(all, node.children[i], inner, out);
        }
    };
    switch (node.kind) {
        case Kind::text:
            out += '"';
            for (const uint32_t c : node.text) {
                print_char(c, false, out);
            }
            out += '"';
            break;
        case Kind::chars:
            out += '[';
            for (const auto & [low, high] : node.ranges) {
                print_char(low, true, out);
                if (high > low) {
                    out += '-';
                    print_char(high, true, out);
                }
            }
            out += ']';
            break;
        case Kind::token:
            out += node.negated ? "!" : "";
            out += node.token.front() == '[' ? "<" + node.token + ">" : node.token;
            break;
        case Kind::rule: out += all.rules[static_cast<size_t>(node.rule)].name; break;
        case Kind::sequence:
            if (node.children.empty()) {
                out += "\"\"";
            } else {
                group([&] { join(" ", true); });
            }
            break;
        case Kind::choice: group([&] { join(" | ", true); }); break;
        case Kind::repeat:
            group([&] {
                print(all, node.children[0], true, out);
                if (node.min == 0 && node.max < 0) {
                    out += '*';
                } else {
                    out += '{' + std::to_string(node.min);
                    out += node.max == node.min ? "}" : node.max < 0 ? ",}" : ',' + std::to_string(node.max) + '}';
                }
            });
            break;
    }
}

} // namespace

void check_gbnf(const GbnfRules & rules) {
    if (rules.rules.size() > gbnf_limits::rules) {
        throw Error(Errc::grammar, "the grammar has " + std::to_string(rules.rules.size()) + " rules", {},
                    "It may have " + std::to_string(gbnf_limits::rules) + " at most");
    }
    Check(rules).run();
}

std::string print_gbnf(const GbnfRules & rules) {
    std::string out;
    for (const GbnfRule & rule : rules.rules) {
        out += rule.name + " ::= ";
        print(rules, rule.body, false, out);
        out += '\n';
    }
    return out;
}

} // namespace mullama
