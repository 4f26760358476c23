// What an answer may be: a value, made once and shared by any number of requests and threads.
#pragma once

#include "automaton.hpp"
#include "gbnf.hpp"
#include "shared.hpp"
#include "token_table.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace mullama {

class Grammar;
using GrammarPtr = std::shared_ptr<const Grammar>;

// What makes a waiting grammar begin.
struct Trigger {
    enum class Kind : uint8_t { word, token, pattern, regex } kind = Kind::word;
    std::string word;
    llama_token token = -1;
    GrammarPtr pattern;                      // pattern: a text that this grammar matches
    std::shared_ptr<const std::regex> regex; // regex: of a chat template; its first group or itself
    bool whole = false;                      // regex: it must match all text so far
};

// A grammar that leaves the answer free until a trigger appears.
struct Waiting {
    std::vector<Trigger> triggers;
    bool after = false;                 // the grammar begins behind the trigger, not with it
    std::string quiet_start;            // between this text
    std::vector<std::string> quiet_end; // and one of these, triggers do not count
    bool quiet = false;                 // the answer begins inside such a stretch
};

// Compiled rules with the states met so far, shared by copies of a grammar.
class Compiled {
  public:
    explicit Compiled(const GbnfRules & rules);

    std::mutex mutex; // guards every automaton of this grammar
    const std::shared_ptr<const Program> program;

    // With the mutex held: an automaton with room.
    std::shared_ptr<Automaton> automaton();
    // With the mutex held: which tokens may come in `state`, by their text alone; remembered.
    std::shared_ptr<const TokenMask> mask(const std::shared_ptr<Automaton> & automaton, int32_t state,
                                          const TokenTable & table);

  private:
    std::shared_ptr<Automaton> current_;
    const Automaton * masks_of_ = nullptr;
    std::map<std::pair<uint64_t, int32_t>, std::shared_ptr<const TokenMask>> masks_;
};

// Every member is thread-safe.
class Grammar : public Shared<Grammar> {
  public:
    // All throw Error(grammar).
    static GrammarPtr gbnf(std::string_view text, std::string_view root);
    // A schema as JSON text, through llama.cpp's converter. It ignores keywords it does not know:
    // whoever calls this has made sure there are none. compact: no white space.
    static GrammarPtr json_schema(const std::string & schema, bool compact);
    static GrammarPtr choice(const std::vector<std::string> & texts);
    static GrammarPtr sequence(const std::vector<GrammarPtr> & parts);
    static GrammarPtr any_of(const std::vector<GrammarPtr> & parts);
    // max < 0: without end. separator may be null.
    static GrammarPtr repeat(const GrammarPtr & item, int32_t min, int32_t max, const GrammarPtr & separator);

    GrammarPtr when(Waiting waiting) const;
    // The same, but this text counts as read already.
    GrammarPtr after(std::string text) const;

    std::string text() const { return print_gbnf(*rules_); }
    const std::string & root() const { return rules_->rules[static_cast<size_t>(rules_->root)].name; }
    const std::optional<Waiting> & waiting() const { return waiting_; }
    const std::string & prefill() const { return prefill_; }
    size_t n_rules() const { return rules_->rules.size(); }

    bool matches(std::string_view text) const; // the whole text
    bool begins(std::string_view text) const;  // some text that matches begins with it
    // Whether some beginning of text, longer than `beyond` bytes, matches; the shortest such.
    bool shortest(std::string_view text, size_t beyond, size_t & length) const;

    Compiled & compiled() const; // compiles at the first call

  private:
    struct Lazy {
        std::once_flag once;
        std::unique_ptr<Compiled> compiled;
    };

    explicit Grammar(GbnfRules rules);
    int32_t read(std::string_view text, bool & complete) const;

    std::shared_ptr<const GbnfRules> rules_;
    std::shared_ptr<Lazy> lazy_;
    std::optional<Waiting> waiting_;
    std::string prefill_;
};

} // namespace mullama
