// The texts of a vocabulary, ordered so that a grammar can be held against all of them in one walk.
#pragma once

#include "llama-cpp.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mullama {

// One bit per token of a vocabulary.
class TokenMask {
  public:
    explicit TokenMask(size_t n_tokens = 0, bool all = false)
        : words_((n_tokens + 63) / 64, all ? ~uint64_t{0} : 0), size_(n_tokens) {}
    size_t size() const { return size_; }
    bool has(llama_token token) const {
        const auto bit = static_cast<size_t>(token);
        return bit < size_ && ((words_[bit / 64] >> (bit % 64)) & 1U) != 0;
    }
    void set(llama_token token, bool on = true) {
        const auto bit = static_cast<size_t>(token);
        const uint64_t mask = uint64_t{1} << (bit % 64);
        words_[bit / 64] = on ? words_[bit / 64] | mask : words_[bit / 64] & ~mask;
    }
    bool empty() const;

  private:
    std::vector<uint64_t> words_;
    size_t size_;
};

// Immutable once made.
class TokenTable {
  public:
    struct Entry {
        llama_token token;
        uint32_t begin;  // of its bytes
        uint16_t length;
        uint16_t shared; // leading bytes it has in common with the entry before
    };

    explicit TokenTable(const llama_vocab * vocab);

    uint64_t id() const { return id_; } // unlike that of any other table of this process
    size_t n_tokens() const { return n_tokens_; }
    const std::vector<Entry> & entries() const { return entries_; } // sorted by bytes; no control tokens
    std::string_view bytes(const Entry & entry) const {
        return std::string_view(bytes_).substr(entry.begin, entry.length);
    }
    const std::vector<llama_token> & ends() const { return ends_; } // tokens that end an answer

  private:
    uint64_t id_;
    size_t n_tokens_;
    std::string bytes_;
    std::vector<Entry> entries_;
    std::vector<llama_token> ends_;
};

} // namespace mullama
