#include "text.hpp"

#include <algorithm>
#include <cstdint>

namespace mullama {

namespace {

struct Step {
    size_t length; // bytes consumed
    bool valid;
};

// One character at text[at], or the maximal subpart of an ill-formed one.
Step decode_one(std::string_view text, size_t at) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    const uint8_t lead = byte(at);
    if (lead < 0x80) {
        return {1, true};
    }
    const size_t need = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4) {
        return {1, false};
    }
    for (size_t i = 1; i < need; ++i) {
        if (at + i >= text.size()) {
            return {i, false};
        }
        uint8_t low = 0x80;
        uint8_t high = 0xBF;
        if (i == 1) {
            low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
            high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        }
        if (byte(at + i) < low || byte(at + i) > high) {
            return {i, false};
        }
    }
    return {need, true};
}

} // namespace

std::string valid_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const Step step = decode_one(text, at);
        out += step.valid ? text.substr(at, step.length) : std::string_view("\xEF\xBF\xBD");
        at += step.length;
    }
    return out;
}

size_t incomplete_utf8(std::string_view text) {
    for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
        const auto byte = static_cast<uint8_t>(text[text.size() - back]);
        if (byte >= 0xC0) {
            const size_t need = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
            const Step step = decode_one(text, text.size() - back);
            return need > back && !step.valid && step.length == back ? back : 0;
        }
        if (byte < 0x80) {
            return 0;
        }
    }
    return 0;
}

std::pair<char32_t, size_t> first_char(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
    const char32_t lead = byte(0);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t c = length == 1 ? lead : lead & (0x7FU >> length);
    for (size_t i = 1; i < length; ++i) {
        c = (c << 6) | (byte(i) & 0x3F);
    }
    return {c, length};
}

size_t begun(const std::vector<std::string> & strings, std::string_view text) {
    size_t longest = 0;
    for (const std::string & string : strings) {
        for (size_t length = std::min(string.size() - 1, text.size()); length > longest; --length) {
            if (text.substr(text.size() - length) == std::string_view(string).substr(0, length)) {
                longest = length;
                break;
            }
        }
    }
    return longest;
}

TextStream::TextStream(std::vector<std::string> stops, std::shared_ptr<const Regex> regex) : stops_(std::move(stops)) {
    if (regex) {
        regex_.emplace(std::move(regex));
    }
}

std::string TextStream::push(std::string_view bytes) {
    if (stopped_by_) {
        return {};
    }
    std::string out = push_stops(bytes);
    if (!regex_) {
        return out;
    }
    out = regex_->push(out);
    if (regex_->matched()) { // before a stop string, if there is one too: that ended what came here
        stopped_by_ = regex_->matched();
        held_.clear();
    } else if (stopped_by_) {
        out += regex_->flush();
    }
    return out;
}

std::string TextStream::push_stops(std::string_view bytes) {
    held_ += bytes;
    size_t first = std::string::npos;
    for (const std::string & stop : stops_) {
        const size_t at = held_.find(stop);
        if (at < first) {
            first = at;
            stopped_by_ = stop;
        }
    }
    if (stopped_by_) {
        held_.resize(first);
        return valid_utf8(std::exchange(held_, {}));
    }
    const size_t held = std::max(begun(stops_, held_), incomplete_utf8(held_));
    std::string out = valid_utf8(std::string_view(held_).substr(0, held_.size() - held));
    held_.erase(0, held_.size() - held);
    return out;
}

std::string TextStream::flush() {
    std::string out = valid_utf8(std::exchange(held_, {}));
    if (!regex_ || stopped_by_) {
        return out;
    }
    out = regex_->push(out); // the rest may complete a match, which is still not part of the answer
    if (regex_->matched()) {
        stopped_by_ = regex_->matched();
        return out;
    }
    return out + regex_->flush();
}

int32_t nesting(std::string_view text) {
    // Read in three ways, since what stands in quotes cannot be told from broken text: quotes as
    // JSON has them, the other way round, and none at all.
    int32_t depth[3] = {};
    int32_t most = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\\') {
            ++i;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == '[' || c == '{' || c == ']' || c == '}') {
            for (int32_t * at : {&depth[quoted ? 1 : 0], &depth[2]}) {
                *at = std::max(*at + (c == '[' || c == '{' ? 1 : -1), 0);
                most = std::max(most, *at);
            }
        }
    }
    return most;
}

} // namespace mullama
