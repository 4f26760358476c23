// A grammar at work in one request: which token may come next. Engine thread only.
#pragma once

#include "grammar.hpp"
#include "model.hpp"
#include "sampling.hpp"

#include <memory>
#include <string>
#include <vector>

namespace mullama {

class Constraint final : public TokenFilter {
  public:
    // shown: control tokens whose names are text of the answer. Throws Error(grammar) when the
    // grammar names a token that the model does not have.
    Constraint(GrammarPtr grammar, const Model & model, std::vector<llama_token> shown = {});

    bool allows(llama_token token) override;
    const TokenMask & allowed() override;
    void accept(llama_token token); // one that allows() was true for

    bool finished() const; // nothing but the end may follow

  private:
    struct Start { // of a pattern that may turn out to match
        size_t trigger;
        size_t from; // in text_
        int32_t state;
    };

    std::string bytes_of(llama_token token) const;
    int32_t next_state(int32_t state, llama_token token, std::string_view bytes); // dead if refused
    bool ends(llama_token token) const;
    // Whether the token, seen while waiting, begins the grammar, and then the state behind it.
    bool triggers(llama_token token, std::string_view bytes, int32_t & state);
    size_t find_trigger(std::string_view fresh) const; // where in text_ + fresh the grammar begins, or npos
    void follow_quiet();
    bool token_fits(int32_t index, llama_token token) const;

    const GrammarPtr grammar_;
    const Model & model_;
    const TokenTable & table_;
    const std::vector<llama_token> shown_;
    Compiled & compiled_;
    std::vector<llama_token> tokens_; // what Program::tokens() are in this vocabulary

    std::shared_ptr<Automaton> automaton_;
    int32_t state_ = Automaton::start;
    bool complete_ = false;
    bool leaf_ = false;

    bool waiting_ = false;
    bool quiet_ = false;
    bool trimmed_ = false;           // text_ is no longer all of the answer
    std::string text_;               // the end of the answer while waiting
    std::vector<llama_token> tried_; // refused at this position while waiting
    TokenMask mask_;
    bool mask_ready_ = false;
};

} // namespace mullama
