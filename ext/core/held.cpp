#include "held.hpp"

#include "text.hpp"

#include <algorithm>

namespace mullama {

std::string HeldTokens::text() const {
    std::string text;
    for (const HeldToken & held : tokens_) {
        text += held.bytes;
    }
    return text;
}

std::optional<HeldToken> HeldTokens::take_back() {
    const std::string all = text();
    size_t first = std::string::npos;
    for (const std::string & banned : banned_) {
        first = std::min(first, all.find(banned));
    }
    if (first == std::string::npos) {
        return std::nullopt;
    }
    size_t index = 0;
    for (size_t end = tokens_[0].bytes.size(); end <= first; end += tokens_[index].bytes.size()) {
        ++index;
    }
    HeldToken taken = std::move(tokens_[index]);
    tokens_.resize(index);
    return taken;
}

std::optional<HeldToken> HeldTokens::release() {
    if (tokens_.empty()) {
        return std::nullopt;
    }
    if (active()) {
        const std::string all = text();
        if (tokens_.front().bytes.size() > all.size() - begun(banned_, all)) {
            return std::nullopt;
        }
    }
    return release_any();
}

std::optional<HeldToken> HeldTokens::release_any() {
    if (tokens_.empty()) {
        return std::nullopt;
    }
    HeldToken first = std::move(tokens_.front());
    tokens_.pop_front();
    return first;
}

} // namespace mullama
