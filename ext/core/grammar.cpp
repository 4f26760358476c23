#include "grammar.hpp"

#include "text.hpp"

#include <json-schema-to-grammar.h>

#include <algorithm>

namespace mullama {

namespace {

constexpr size_t most_masks = 1024;

GbnfNode node_of(GbnfNode::Kind kind) {
    GbnfNode node;
    node.kind = kind;
    return node;
}

GbnfNode call(int32_t rule) {
    GbnfNode node = node_of(GbnfNode::Kind::rule);
    node.rule = rule;
    return node;
}

GbnfNode repetition(GbnfNode item, int32_t min, int32_t max) {
    GbnfNode node = node_of(GbnfNode::Kind::repeat);
    node.min = min;
    node.max = max;
    node.children.push_back(std::move(item));
    return node;
}

void shift(GbnfNode & node, int32_t by) {
    node.line = node.column = 0; // it is no longer in the text it came from
    if (node.kind == GbnfNode::Kind::rule) {
        node.rule += by;
    }
    for (GbnfNode & child : node.children) {
        shift(child, by);
    }
}

// Puts grammars side by side under a new root; a name that is taken gets a number.
class Joiner {
  public:
    Joiner() {
        out_.rules.push_back({"root", {}});
        taken_["root"] = 1;
    }
    int32_t add(const GbnfRules & part) {
        const auto offset = static_cast<int32_t>(out_.rules.size());
        for (const GbnfRule & rule : part.rules) {
            out_.rules.push_back(rule);
            GbnfRule & copy = out_.rules.back();
            shift(copy.body, offset);
            while (!taken_.try_emplace(copy.name, 1).second) {
                copy.name = rule.name + "-" + std::to_string(taken_[rule.name]++);
            }
        }
        return offset + part.root;
    }
    GbnfRules finish(GbnfNode body) {
        out_.rules[0].body = std::move(body);
        check_gbnf(out_);
        return std::move(out_);
    }

  private:
    GbnfRules out_;
    std::map<std::string, int32_t> taken_;
};

std::vector<uint32_t> code_points(const std::string & text) {
    if (valid_utf8(text) != text) {
        throw Error(Errc::grammar, "a text is not valid UTF-8");
    }
    std::vector<uint32_t> out;
    for (size_t at = 0; at < text.size();) {
        const auto lead = static_cast<uint8_t>(text[at]);
        const size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        uint32_t value = length == 1 ? lead : lead & (0x7FU >> length);
        for (size_t i = 1; i < length; ++i) {
            value = (value << 6U) | (static_cast<uint8_t>(text[at + i]) & 0x3FU);
        }
        out.push_back(value);
        at += length;
    }
    return out;
}

// Another text for one rule that llama.cpp's converter always names so.
void replace_rule(std::string & gbnf, const std::string & name, const std::string & body) {
    const std::string head = name + " ::= ";
    size_t at = gbnf.rfind(head, 0) == 0 ? 0 : gbnf.find("\n" + head);
    if (at == std::string::npos) {
        return;
    }
    at += gbnf[at] == '\n' ? 1 : 0;
    gbnf.replace(at, gbnf.find('\n', at) - at, head + body);
}

} // namespace

Compiled::Compiled(const GbnfRules & rules) : program(std::make_shared<Program>(rules)) {}

std::shared_ptr<Automaton> Compiled::automaton() {
    if (!current_ || current_->full()) {
        current_ = std::make_shared<Automaton>(program);
    }
    return current_;
}

std::shared_ptr<const TokenMask> Compiled::mask(const std::shared_ptr<Automaton> & automaton, int32_t state,
                                                const TokenTable & table) {
    if (masks_of_ != automaton.get() || masks_.size() > most_masks) {
        masks_.clear();
        masks_of_ = automaton.get();
    }
    std::shared_ptr<const TokenMask> & kept = masks_[{table.id(), state}];
    if (kept) {
        return kept;
    }
    auto mask = std::make_shared<TokenMask>(table.n_tokens());
    std::vector<int32_t> states{state}; // after each byte of the entry before
    size_t alive = 0;                   // bytes of it that can be read
    for (const TokenTable::Entry & entry : table.entries()) {
        const std::string_view bytes = table.bytes(entry);
        size_t at = entry.shared;
        if (at > alive) {
            continue; // it begins like one that was refused
        }
        alive = at;
        states.resize(at + 1);
        for (; at < bytes.size(); ++at) {
            const int32_t next = automaton->step(states.back(), static_cast<uint8_t>(bytes[at]));
            if (next == Automaton::dead) {
                break;
            }
            states.push_back(next);
            alive = at + 1;
        }
        if (at == bytes.size()) {
            mask->set(entry.token);
        }
    }
    kept = std::move(mask);
    return kept;
}

Grammar::Grammar(GbnfRules rules)
    : rules_(std::make_shared<const GbnfRules>(std::move(rules))), lazy_(std::make_shared<Lazy>()) {}

Compiled & Grammar::compiled() const {
    std::call_once(lazy_->once, [this] { lazy_->compiled = std::make_unique<Compiled>(*rules_); });
    return *lazy_->compiled;
}

GrammarPtr Grammar::gbnf(std::string_view text, std::string_view root) {
    const GrammarPtr grammar(new Grammar(parse_gbnf(text, root)));
    grammar->compiled();
    return grammar;
}

GrammarPtr Grammar::json_schema(const std::string & schema, bool compact) {
    std::string text;
    try {
        text = json_schema_to_grammar(common_json::parse(schema), true);
    } catch (const std::exception & error) {
        throw Error(Errc::grammar, std::string("llama.cpp cannot convert the schema: ") + error.what());
    }
    if (compact) {
        replace_rule(text, "space", "\"\"");
    }
    // Upstream's lets half a surrogate pair through, and two halves count as two characters.
    replace_rule(text, "char",
                 R"([^"\\\x7F\x00-\x1F] | [\\] (["\\bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2})))");
    return gbnf(text, "root");
}

GrammarPtr Grammar::choice(const std::vector<std::string> & texts) {
    if (texts.empty()) {
        throw Error(Errc::grammar, "a choice needs at least one text");
    }
    GbnfNode body = node_of(GbnfNode::Kind::choice);
    for (const std::string & text : texts) {
        body.children.push_back(node_of(GbnfNode::Kind::text));
        body.children.back().text = code_points(text);
    }
    return GrammarPtr(new Grammar(Joiner().finish(std::move(body))));
}

GrammarPtr Grammar::sequence(const std::vector<GrammarPtr> & parts) {
    Joiner joiner;
    GbnfNode body = node_of(GbnfNode::Kind::sequence);
    for (const GrammarPtr & part : parts) {
        body.children.push_back(call(joiner.add(*part->rules_)));
    }
    return GrammarPtr(new Grammar(joiner.finish(std::move(body))));
}

GrammarPtr Grammar::any_of(const std::vector<GrammarPtr> & parts) {
    if (parts.empty()) {
        throw Error(Errc::grammar, "any_of needs at least one grammar");
    }
    Joiner joiner;
    GbnfNode body = node_of(GbnfNode::Kind::choice);
    for (const GrammarPtr & part : parts) {
        body.children.push_back(call(joiner.add(*part->rules_)));
    }
    return GrammarPtr(new Grammar(joiner.finish(std::move(body))));
}

GrammarPtr Grammar::repeat(const GrammarPtr & item, int32_t min, int32_t max, const GrammarPtr & separator) {
    if (min < 0 || min > gbnf_limits::repeat || max > gbnf_limits::repeat || (max >= 0 && max < min)) {
        throw Error(Errc::grammar,
                    "a repetition from " + std::to_string(min) + " to " + std::to_string(max) + " times is not possible",
                    {}, "Counts go up to " + std::to_string(gbnf_limits::repeat) + ", and min is not above max");
    }
    Joiner joiner;
    const int32_t one = joiner.add(*item->rules_);
    if (!separator) {
        return GrammarPtr(new Grammar(joiner.finish(repetition(call(one), min, max))));
    }
    GbnfNode more = node_of(GbnfNode::Kind::sequence);
    more.children.push_back(call(joiner.add(*separator->rules_)));
    more.children.push_back(call(one));
    GbnfNode body = node_of(GbnfNode::Kind::sequence);
    if (max != 0) {
        body.children.push_back(call(one));
        body.children.push_back(repetition(std::move(more), std::max(min - 1, 0), max < 0 ? max : max - 1));
        if (min == 0) {
            body = repetition(std::move(body), 0, 1);
        }
    }
    return GrammarPtr(new Grammar(joiner.finish(std::move(body))));
}

GrammarPtr Grammar::when(Waiting waiting) const {
    if (waiting.triggers.empty()) {
        throw Error(Errc::grammar, "a grammar that waits needs something to wait for");
    }
    for (const Trigger & trigger : waiting.triggers) {
        if (trigger.kind == Trigger::Kind::word && trigger.word.empty()) {
            throw Error(Errc::grammar, "an empty word would begin the grammar at once");
        }
        if (trigger.pattern && trigger.pattern->matches("")) {
            throw Error(Errc::grammar, "a pattern that matches nothing would begin the grammar at once");
        }
    }
    auto copy = std::shared_ptr<Grammar>(new Grammar(*this));
    copy->waiting_ = std::move(waiting);
    return copy;
}

GrammarPtr Grammar::after(std::string text) const {
    if (!begins(text)) {
        throw Error(Errc::grammar, "nothing that the grammar matches begins with the given text");
    }
    auto copy = std::shared_ptr<Grammar>(new Grammar(*this));
    copy->prefill_ = std::move(text);
    return copy;
}

int32_t Grammar::read(std::string_view text, bool & complete) const {
    Compiled & shared = compiled();
    const std::lock_guard lock(shared.mutex);
    const auto automaton = shared.automaton();
    int32_t state = Automaton::start;
    for (const char byte : text) {
        automaton->begin_work();
        state = automaton->step(state, static_cast<uint8_t>(byte));
    }
    complete = automaton->complete(state);
    return state;
}

bool Grammar::matches(std::string_view text) const {
    bool complete = false;
    read(text, complete);
    return complete;
}

bool Grammar::begins(std::string_view text) const {
    bool complete = false;
    return read(text, complete) != Automaton::dead;
}

bool Grammar::shortest(std::string_view text, size_t beyond, size_t & length) const {
    Compiled & shared = compiled();
    const std::lock_guard lock(shared.mutex);
    const auto automaton = shared.automaton();
    int32_t state = Automaton::start;
    for (size_t i = 0; i < text.size() && state != Automaton::dead; ++i) {
        automaton->begin_work();
        state = automaton->step(state, static_cast<uint8_t>(text[i]));
        if (i + 1 > beyond && automaton->complete(state)) {
            length = i + 1;
            return true;
        }
    }
    return false;
}

} // namespace mullama
