#include "slot.hpp"

#include "model.hpp"

#include <algorithm>

namespace mullama {

void Slot::admit(std::unique_ptr<Request> request) {
    request_ = std::move(request);
    held_ = std::make_unique<HeldTokens>(request_->sampling.banned_strings);
    chunk_ = 0;
    offset_ = 0;
    position_ = 0;
    rows_ = 0;
    embeddings.clear();
    asked_.clear();
    tokens_.clear();
    went_back_ = false;
    admitted_ = Clock::now();
    timings_ = {};
    timings_.queue_ms = ms_between(request_->submitted, admitted_);
    timings_.prompt_tokens = request_->prompt->n_tokens;
    if (request_->asks_for_logits) {
        for (const PromptChunk & chunk : request_->prompt->chunks) {
            tokens_.insert(tokens_.end(), chunk.tokens.begin(), chunk.tokens.end());
            tokens_.resize(tokens_.size() + static_cast<size_t>(chunk.n_tokens) - chunk.tokens.size(), -1);
        }
    }
}

void Slot::advance(int32_t rows) {
    offset_ += rows;
    rows_ += rows;
    if (offset_ == chunk().n_tokens) {
        position_ += chunk().n_pos;
        ++chunk_;
        offset_ = 0;
        embeddings.clear();
    }
}

void Slot::token_evaluated() {
    ++position_;
    ++rows_;
}

void Slot::ask(const float * logits) {
    asked_.assign(logits, logits + request_->sampler->n_vocab());
    stream()->ask({tokens_, asked_});
}

std::optional<std::vector<float>> Slot::answer() { return stream()->take_answer(); }

bool Slot::is_end(llama_token token, const Model & model) const {
    const auto & stops = request_->limits.stop_tokens;
    return model.is_eog(token) || std::find(stops.begin(), stops.end(), token) != stops.end();
}

llama_token Slot::choose(Draw & draw, const float * logits) {
    const auto & stops = request_->limits.stop_tokens;
    const auto so_far = static_cast<size_t>(timings_.generated_tokens) + held_->size();
    const bool too_early = so_far < static_cast<size_t>(request_->sampling.min_tokens);
    std::vector<llama_token> forbidden = draw.forbidden;
    if (too_early || request_->limits.ignore_eos) {
        forbidden.insert(forbidden.end(), request_->end_tokens.begin(), request_->end_tokens.end());
    }
    if (too_early) {
        forbidden.insert(forbidden.end(), stops.begin(), stops.end());
    }
    if (held_->active()) {
        draw.before = request_->sampler->save();
    }
    const llama_token token = request_->sampler->sample(logits, forbidden);
    request_->sampler->accept(token);
    return token;
}

void Slot::go_back(const Draw & draw, size_t dropped) {
    request_->sampler->restore(draw.before);
    position_ = draw.position;
    rows_ = draw.rows;
    went_back_ = true;
    tokens_.resize(tokens_.size() - std::min(dropped, tokens_.size()));
}

bool Slot::sample(const float * logits, const Model & model, int32_t n_ctx) {
    if (timings_.prefill_ms < 0) {
        first_token_ = Clock::now();
        timings_.prefill_ms = ms_between(admitted_, first_token_);
        timings_.first_token_ms = ms_between(request_->submitted, first_token_);
    }
    std::vector<float> asked = std::exchange(asked_, {});
    Draw draw;
    draw.position = position_;
    draw.rows = rows_;
    if (held_->active()) {
        draw.logits.assign(logits, logits + request_->sampler->n_vocab());
    }
    for (bool again = true; again;) {
        const float * from = draw.logits.empty() ? logits : draw.logits.data();
        try {
            next_ = choose(draw, from);
        } catch (const Error & error) { // this request's options alone
            finish(Finish::error, error);
            return true;
        }
        if (is_end(next_, model)) {
            finish(Finish::stop);
            return true;
        }
        if (request_->asks_for_logits) {
            tokens_.push_back(next_);
        }
        HeldToken token{next_, model.piece(next_, false), std::nullopt, std::move(draw)};
        if (request_->sampler->wants_logprobs()) { // of the model, not of what a reader made of it
            token.logprobs = request_->sampler->logprobs(asked.empty() ? from : asked.data(), next_);
        }
        held_->push(std::move(token));
        const size_t before = held_->size();
        std::optional<HeldToken> taken = held_->active() ? held_->take_back() : std::nullopt;
        again = taken.has_value();
        if (taken) {
            draw = std::move(taken->draw);
            draw.forbidden.push_back(taken->token);
            go_back(draw, before - held_->size());
            asked.clear(); // these were for another place
        }
    }
    while (std::optional<HeldToken> certain = held_->release()) {
        if (!send(std::move(*certain))) {
            finish(Finish::stop);
            return true;
        }
    }
    const int32_t limit = request_->limits.max_tokens;
    const auto so_far = static_cast<int32_t>(held_->size()) + timings_.generated_tokens;
    if ((limit >= 0 && so_far >= limit) || rows_ >= n_ctx) {
        finish(Finish::length);
        return true;
    }
    return false;
}

bool Slot::send(HeldToken held) {
    ++timings_.generated_tokens;
    ++generated_;
    stream()->push({held.token, request_->text->push(held.bytes), std::move(held.logprobs)});
    if (request_->text->stopped_by()) {
        held_->clear();
        return false;
    }
    return true;
}

void Slot::finish(Finish finish, std::optional<Error> error) {
    while (std::optional<HeldToken> held = held_->release_any()) {
        if (!send(std::move(*held))) {
            finish = finish == Finish::error ? finish : Finish::stop;
        }
    }
    Terminal terminal;
    terminal.text = request_->text->flush(); // what was held back may turn out to be a stop
    terminal.finish = finish == Finish::length && request_->text->stopped_by() ? Finish::stop : finish;
    terminal.stop_string = request_->text->stopped_by().value_or("");
    terminal.error = std::move(error);
    if (timings_.generated_tokens > 0) {
        timings_.decode_ms = ms_between(first_token_, Clock::now());
    }
    terminal.timings = timings_;
    stream()->finish(std::move(terminal));
    request_.reset();
    held_.reset();
    embeddings.clear();
    asked_.clear();
}

} // namespace mullama
