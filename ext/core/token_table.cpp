#include "token_table.hpp"

#include <algorithm>
#include <atomic>
#include <limits>

namespace mullama {

bool TokenMask::empty() const {
    return std::all_of(words_.begin(), words_.end(), [](uint64_t word) { return word == 0; });
}

TokenTable::TokenTable(const llama_vocab * vocab) : n_tokens_(static_cast<size_t>(llama_vocab_n_tokens(vocab))) {
    static std::atomic<uint64_t> made{0};
    id_ = ++made;
    std::vector<std::pair<std::string, llama_token>> texts;
    std::string piece(64, '\0');
    for (llama_token token = 0; token < static_cast<llama_token>(n_tokens_); ++token) {
        if (llama_vocab_is_eog(vocab, token)) {
            ends_.push_back(token);
            continue;
        }
        const auto read = [&] {
            return llama_token_to_piece(vocab, token, piece.data(), static_cast<int32_t>(piece.size()), 0, false);
        };
        int32_t length = read();
        if (length < 0) {
            piece.resize(static_cast<size_t>(-length));
            length = read();
        }
        if (length > 0 && length <= std::numeric_limits<uint16_t>::max()) {
            texts.emplace_back(piece.substr(0, static_cast<size_t>(length)), token);
        }
    }
    std::sort(texts.begin(), texts.end());
    std::string_view before;
    for (const auto & [text, token] : texts) {
        const auto split = std::mismatch(text.begin(), text.end(), before.begin(), before.end());
        entries_.push_back({token, static_cast<uint32_t>(bytes_.size()), static_cast<uint16_t>(text.size()),
                            static_cast<uint16_t>(split.first - text.begin())});
        bytes_ += text;
        before = text;
    }
}

} // namespace mullama
