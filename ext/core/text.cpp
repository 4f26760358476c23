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

size_t TextStream::held_by_stops() const {
    size_t longest = 0;
    for (const std::string & stop : stops_) {
        for (size_t length = std::min(stop.size() - 1, held_.size()); length > longest; --length) {
            if (std::string_view(held_).substr(held_.size() - length) == std::string_view(stop).substr(0, length)) {
                longest = length;
                break;
            }
        }
    }
    return longest;
}

std::string TextStream::push(std::string_view bytes) {
    if (stopped_by_) {
        return {};
    }
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
        return flush();
    }
    const size_t held = std::max(held_by_stops(), incomplete_utf8(held_));
    std::string out = valid_utf8(std::string_view(held_).substr(0, held_.size() - held));
    held_.erase(0, held_.size() - held);
    return out;
}

std::string TextStream::flush() {
    std::string out = valid_utf8(held_);
    held_.clear();
    return out;
}

} // namespace mullama
