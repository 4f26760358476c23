#include "constraint.hpp"

#include <algorithm>

namespace mullama {

namespace {

constexpr size_t kept_text = 1024; // bytes of the answer in which a trigger is looked for

llama_token resolve(const Program::Token & token, const Model & model) {
    if (token.name.front() == '[') {
        const auto id = std::stoll(token.name.substr(1, token.name.size() - 2));
        if (id >= model.n_vocab()) {
            throw Error(Errc::grammar, "the grammar names token " + std::to_string(id) + "; the model has " +
                                           std::to_string(model.n_vocab()));
        }
        return static_cast<llama_token>(id);
    }
    const auto ids = model.tokenize(token.name, false, true);
    if (ids.size() != 1) {
        throw Error(Errc::grammar, "the grammar names the token " + token.name + ", which the model does not have", {},
                    "Write it as text in quotes if it is not one token of this model");
    }
    return ids[0];
}

} // namespace

Constraint::Constraint(GrammarPtr grammar, const Model & model, std::vector<llama_token> shown)
    : grammar_(std::move(grammar)), model_(model), table_(model.token_table()), shown_(std::move(shown)),
      compiled_(grammar_->compiled()), waiting_(grammar_->waiting().has_value()) {
    for (const Program::Token & token : compiled_.program->tokens()) {
        tokens_.push_back(resolve(token, model));
    }
    quiet_ = waiting_ && grammar_->waiting()->quiet;
    const std::lock_guard lock(compiled_.mutex);
    automaton_ = compiled_.automaton();
    automaton_->begin_work();
    state_ = automaton_->read(state_, grammar_->prefill());
    complete_ = automaton_->complete(state_);
    leaf_ = automaton_->leaf(state_);
}

std::string Constraint::bytes_of(llama_token token) const {
    const bool show = waiting_ || std::find(shown_.begin(), shown_.end(), token) != shown_.end();
    return model_.piece(token, show);
}

bool Constraint::ends(llama_token token) const { return model_.is_eog(token); }

bool Constraint::token_fits(int32_t index, llama_token token) const {
    const auto i = static_cast<size_t>(index);
    return (tokens_[i] == token) != compiled_.program->tokens()[i].negated;
}

int32_t Constraint::next_state(int32_t state, llama_token token, std::string_view bytes) {
    automaton_->begin_work();
    int32_t next = bytes.empty() ? Automaton::dead : automaton_->read(state, bytes);
    for (const int32_t index : automaton_->tokens(state)) {
        if (token_fits(index, token)) {
            next = automaton_->join(next, automaton_->step_token(state, index));
        }
    }
    return next;
}

bool Constraint::allows(llama_token token) {
    if (ends(token)) {
        return waiting_ || complete_;
    }
    const std::string bytes = bytes_of(token);
    if (!waiting_) {
        const std::lock_guard lock(compiled_.mutex);
        return next_state(state_, token, bytes) != Automaton::dead;
    }
    int32_t state = Automaton::start;
    if (triggers(token, bytes, state) && state == Automaton::dead) {
        tried_.push_back(token);
        mask_ready_ = false;
        return false;
    }
    return true;
}

const TokenMask & Constraint::allowed() {
    if (mask_ready_) {
        return mask_;
    }
    mask_ready_ = true;
    if (waiting_) {
        mask_ = TokenMask(table_.n_tokens(), true);
        for (const llama_token token : tried_) {
            mask_.set(token, false);
        }
        return mask_;
    }
    const std::lock_guard lock(compiled_.mutex);
    automaton_->begin_work();
    mask_ = *compiled_.mask(automaton_, state_, table_);
    for (const int32_t index : automaton_->tokens(state_)) {
        if (!compiled_.program->tokens()[static_cast<size_t>(index)].negated) {
            mask_.set(tokens_[static_cast<size_t>(index)]);
            continue;
        }
        for (const TokenTable::Entry & entry : table_.entries()) {
            if (token_fits(index, entry.token)) {
                mask_.set(entry.token);
            }
        }
    }
    for (const llama_token token : shown_) {
        if (next_state(state_, token, bytes_of(token)) != Automaton::dead) {
            mask_.set(token);
        }
    }
    for (const llama_token token : table_.ends()) {
        mask_.set(token, complete_);
    }
    return mask_;
}

void Constraint::accept(llama_token token) {
    tried_.clear();
    mask_ready_ = false;
    if (ends(token)) {
        return;
    }
    const std::string bytes = bytes_of(token);
    int32_t state = state_;
    if (waiting_) {
        if (!triggers(token, bytes, state)) {
            text_ += bytes;
            follow_quiet();
            if (text_.size() > kept_text) {
                text_.erase(0, text_.size() - kept_text);
                trimmed_ = true;
            }
            return;
        }
        text_.clear();
    }
    const std::lock_guard lock(compiled_.mutex);
    state_ = waiting_ ? state : next_state(state_, token, bytes);
    waiting_ = false;
    if (automaton_->full()) {
        const auto fresh = compiled_.automaton();
        if (fresh != automaton_) {
            state_ = fresh->adopt(*automaton_, state_);
            automaton_ = fresh;
        }
    }
    complete_ = automaton_->complete(state_);
    leaf_ = automaton_->leaf(state_);
}

bool Constraint::finished() const { return !waiting_ && complete_ && leaf_; }

bool Constraint::triggers(llama_token token, std::string_view bytes, int32_t & state) {
    const Waiting & waiting = *grammar_->waiting();
    if (quiet_) {
        return false;
    }
    for (const Trigger & trigger : waiting.triggers) {
        if (trigger.kind == Trigger::Kind::token && trigger.token == token) {
            const std::lock_guard lock(compiled_.mutex);
            state = waiting.after ? Automaton::start : next_state(Automaton::start, token, bytes);
            return true;
        }
    }
    const size_t from = find_trigger(bytes);
    if (from == std::string::npos) {
        return false;
    }
    const std::string all = text_ + std::string(bytes);
    const std::lock_guard lock(compiled_.mutex);
    automaton_->begin_work();
    state = automaton_->read(Automaton::start, std::string_view(all).substr(from));
    return true;
}

size_t Constraint::find_trigger(std::string_view fresh) const {
    const Waiting & waiting = *grammar_->waiting();
    const std::string all = text_ + std::string(fresh);
    size_t best = std::string::npos;
    const auto found = [&](size_t from, size_t to) { best = std::min(best, waiting.after ? to : from); };
    for (const Trigger & trigger : waiting.triggers) {
        if (trigger.kind == Trigger::Kind::word) {
            // in what is new, or across its border
            const size_t border = text_.size() >= trigger.word.size() ? text_.size() - trigger.word.size() + 1 : 0;
            const size_t at = all.find(trigger.word, border);
            if (at != std::string::npos) {
                found(at, at + trigger.word.size());
            }
        } else if (trigger.kind == Trigger::Kind::regex && !(trigger.whole && trimmed_)) {
            std::smatch match;
            const auto flags = trimmed_ ? std::regex_constants::match_not_bol : std::regex_constants::match_default;
            const bool matched = trigger.whole ? std::regex_match(all, match, *trigger.regex)
                                               : std::regex_search(all, match, *trigger.regex, flags);
            if (matched) {
                size_t group = 0;
                for (size_t i = 1; i < match.size() && group == 0; ++i) {
                    group = match.length(i) > 0 ? i : 0;
                }
                found(static_cast<size_t>(match.position(group)),
                      static_cast<size_t>(match.position(0) + match.length(0)));
            }
        } else if (trigger.kind == Trigger::Kind::pattern) {
            for (size_t from = 0; from < all.size() && from < best; ++from) {
                // shortest text from here that matches and ends in what is new
                size_t length = 0;
                const size_t old = text_.size() - std::min(from, text_.size());
                if (trigger.pattern->shortest(std::string_view(all).substr(from), old, length)) {
                    found(from, from + length);
                    break;
                }
            }
        }
    }
    return best;
}

void Constraint::follow_quiet() {
    const Waiting & waiting = *grammar_->waiting();
    if (waiting.quiet_start.empty()) {
        return;
    }
    if (!quiet_) {
        const size_t at = text_.find(waiting.quiet_start);
        if (at == std::string::npos) {
            return;
        }
        quiet_ = true;
        text_.erase(0, at + waiting.quiet_start.size());
        trimmed_ = true;
    }
    for (const std::string & end : waiting.quiet_end) {
        const size_t at = text_.find(end);
        if (at != std::string::npos) {
            quiet_ = false;
            text_.erase(0, at + end.size());
            trimmed_ = true;
            return;
        }
    }
}

} // namespace mullama
