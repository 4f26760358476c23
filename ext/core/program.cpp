#include "automaton.hpp"

#include <algorithm>
#include <set>

namespace mullama {

namespace {

struct ByteRange {
    uint8_t low;
    uint8_t high;
};
using ByteSequence = std::vector<ByteRange>;

size_t encode(uint32_t c, uint8_t * out) {
    const auto tail = [&](uint32_t shift) { return static_cast<uint8_t>(0x80U | ((c >> shift) & 0x3FU)); };
    if (c < 0x80) {
        out[0] = static_cast<uint8_t>(c);
        return 1;
    }
    if (c < 0x800) {
        out[0] = static_cast<uint8_t>(0xC0U | (c >> 6U));
        out[1] = tail(0);
        return 2;
    }
    if (c < 0x10000) {
        out[0] = static_cast<uint8_t>(0xE0U | (c >> 12U));
        out[1] = tail(6);
        out[2] = tail(0);
        return 3;
    }
    out[0] = static_cast<uint8_t>(0xF0U | (c >> 18U));
    out[1] = tail(12);
    out[2] = tail(6);
    out[3] = tail(0);
    return 4;
}

// The code points low..high as sequences of byte ranges. Surrogates have no encoding and are left out.
void sequences(uint32_t low, uint32_t high, std::vector<ByteSequence> & out) {
    if (low > high) {
        return;
    }
    if (low <= 0xDFFF && high >= 0xD800) {
        if (low < 0xD800) {
            sequences(low, 0xD7FF, out);
        }
        sequences(0xE000, high, out);
        return;
    }
    for (const uint32_t border : {0x7FU, 0x7FFU, 0xFFFFU}) {
        if (low <= border && high > border) {
            sequences(low, border, out);
            sequences(border + 1, high, out);
            return;
        }
    }
    // Split until all bytes but the first that differs run over their whole range.
    for (uint32_t bits = 6; bits <= 18 && low >= 0x80; bits += 6) {
        const uint32_t mask = (1U << bits) - 1;
        if ((low & ~mask) != (high & ~mask)) {
            if ((low & mask) != 0) {
                sequences(low, low | mask, out);
                sequences((low | mask) + 1, high, out);
                return;
            }
            if ((high & mask) != mask) {
                sequences(low, (high & ~mask) - 1, out);
                sequences(high & ~mask, high, out);
                return;
            }
        }
    }
    uint8_t first[4];
    uint8_t last[4];
    const size_t length = encode(low, first);
    encode(high, last);
    ByteSequence sequence;
    for (size_t i = 0; i < length; ++i) {
        sequence.push_back({first[i], last[i]});
    }
    out.push_back(std::move(sequence));
}

} // namespace

Program::Program(const GbnfRules & rules) : root_(rules.root) {
    const int32_t end = add({Op::end, 0, 0});
    for (const GbnfRule & rule : rules.rules) {
        entries_.push_back(emit(rule.body, end));
    }
}

int32_t Program::add(State state) {
    if (states_.size() > 4 * gbnf_limits::states) {
        throw Error(Errc::grammar, "the grammar is too large", {}, "Repeat less, or use fewer and simpler classes");
    }
    states_.push_back(state);
    return static_cast<int32_t>(states_.size()) - 1;
}

int32_t Program::emit_edges(std::vector<Edge> edges) {
    const auto begin = static_cast<int32_t>(edges_.size());
    edges_.insert(edges_.end(), edges.begin(), edges.end());
    return add({Op::bytes, begin, static_cast<int32_t>(edges_.size())});
}

int32_t Program::emit_chars(const CharRanges & ranges, int32_t next) {
    std::vector<ByteSequence> all;
    for (const auto & [low, high] : ranges) {
        sequences(low, std::min<uint32_t>(high, 0x10FFFF), all);
    }
    // Built from the last byte to the first, so that equal ends are shared.
    std::map<std::array<int32_t, 3>, int32_t> shared; // low, high, to -> state
    std::vector<Edge> first;
    for (const ByteSequence & sequence : all) {
        int32_t to = next;
        for (size_t i = sequence.size(); i-- > 1;) {
            const auto [entry, added] = shared.try_emplace({sequence[i].low, sequence[i].high, to}, 0);
            if (added) {
                entry->second = emit_edges({{sequence[i].low, sequence[i].high, to}});
            }
            to = entry->second;
        }
        first.push_back({sequence[0].low, sequence[0].high, to});
    }
    return emit_edges(std::move(first));
}

int32_t Program::emit(const GbnfNode & node, int32_t next) {
    using Kind = GbnfNode::Kind;
    switch (node.kind) {
        case Kind::text:
            for (size_t i = node.text.size(); i-- > 0;) {
                next = emit_chars({{node.text[i], node.text[i]}}, next);
            }
            return next;
        case Kind::chars: return emit_chars(node.ranges, next);
        case Kind::token: {
            const Token token{node.token, node.negated};
            auto found = std::find_if(tokens_.begin(), tokens_.end(),
                                      [&](const Token & t) { return !(t < token) && !(token < t); });
            if (found == tokens_.end()) {
                found = tokens_.insert(tokens_.end(), token);
            }
            return add({Op::token, static_cast<int32_t>(found - tokens_.begin()), next});
        }
        case Kind::rule: return add({Op::call, node.rule, next});
        case Kind::sequence:
            for (size_t i = node.children.size(); i-- > 0;) {
                next = emit(node.children[i], next);
            }
            return next;
        case Kind::choice: {
            int32_t ways = emit(node.children.back(), next);
            for (size_t i = node.children.size() - 1; i-- > 0;) {
                const int32_t way = emit(node.children[i], next);
                ways = add({Op::split, way, ways});
            }
            return ways;
        }
        case Kind::repeat: {
            const GbnfNode & item = node.children[0];
            int32_t tail = next;
            if (node.max < 0) {
                tail = add({Op::split, next, next});
                const int32_t body = emit(item, tail);
                states_[static_cast<size_t>(tail)].a = body;
            }
            for (int32_t i = node.min; i < node.max; ++i) {
                const int32_t body = emit(item, tail);
                tail = add({Op::split, body, next});
            }
            for (int32_t i = 0; i < node.min; ++i) {
                tail = emit(item, tail);
            }
            return tail;
        }
    }
    return next;
}

} // namespace mullama
