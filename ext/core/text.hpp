// From token bytes to text that may be shown: whole UTF-8 characters, nothing of what stops it.
#pragma once

#include "regex.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mullama {

class TextStream {
  public:
    // regex may be null.
    explicit TextStream(std::vector<std::string> stops, std::shared_ptr<const Regex> regex = nullptr);

    // Adds a token's bytes; returns what is now certain. After a stop string or a match of the regular
    // expression was found (stopped_by() holds it) it and all behind it are dropped.
    std::string push(std::string_view bytes);

    // What was held back, at the end. An unfinished character becomes U+FFFD.
    std::string flush();

    const std::optional<std::string> & stopped_by() const { return stopped_by_; }

  private:
    std::string push_stops(std::string_view bytes);

    std::vector<std::string> stops_;
    std::optional<RegexFilter> regex_;
    std::string held_;
    std::optional<std::string> stopped_by_;
};

// text with every malformed sequence replaced by U+FFFD (Unicode 15, section 3.9, "maximal subpart").
std::string valid_utf8(std::string_view text);

// Bytes at the end of text that begin a character but do not complete it (0 to 3).
size_t incomplete_utf8(std::string_view text);

// The first character of text, which is valid and not empty, and its length in bytes.
std::pair<char32_t, size_t> first_char(std::string_view text);

// How deep brackets stand within brackets in text that may be JSON, whole or broken, at most: text in
// quotes does not hide any.
int32_t nesting(std::string_view text);

// Bytes at the end of text that begin one of the strings but do not complete it: the most of any.
size_t begun(const std::vector<std::string> & strings, std::string_view text);

} // namespace mullama
