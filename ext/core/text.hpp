// From token bytes to text that may be shown: whole UTF-8 characters, nothing of a stop string.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mullama {

class TextStream {
  public:
    explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

    // Adds a token's bytes; returns what is now certain. After a stop string was found
    // (stopped_by() is set) it and all behind it are dropped.
    std::string push(std::string_view bytes);

    // What was held back, at the end. An unfinished character becomes U+FFFD.
    std::string flush();

    const std::optional<std::string> & stopped_by() const { return stopped_by_; }

  private:
    size_t held_by_stops() const; // bytes at the end that could begin a stop string

    std::vector<std::string> stops_;
    std::string held_;
    std::optional<std::string> stopped_by_;
};

// text with every malformed sequence replaced by U+FFFD (Unicode 15, section 3.9, "maximal subpart").
std::string valid_utf8(std::string_view text);

// Bytes at the end of text that begin a character but do not complete it (0 to 3).
size_t incomplete_utf8(std::string_view text);

} // namespace mullama
