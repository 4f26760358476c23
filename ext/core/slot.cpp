#include "slot.hpp"

#include "model.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace mullama {

namespace {

constexpr size_t media_ahead = 4; // encoded before their turn: keeps the encoder busy, bounds memory

} // namespace

void Slot::admit(std::unique_ptr<Request> request, const Prefix & prefix, uint64_t now, const Model & model) {
    request_ = std::move(request);
    ++active_;
    held_ = std::make_unique<HeldTokens>(request_->sampling.banned_strings);
    last_used_ = now;
    client_ = request_->limits.client;
    adapters_ = request_->adapters;
    chunk_ = prefix.chunk;
    offset_ = prefix.offset;
    position_ = prefix.positions - prefix.offset;
    ahead_.clear();
    media_asked_ = chunk_;
    asked_.clear();
    tokens_.clear();
    went_back_ = false;
    guess_limit_ = 0;
    admitted_ = Clock::now();
    timings_ = {};
    timings_.queue_ms = ms_between(request_->submitted, admitted_);
    timings_.prompt_tokens = request_->prompt->n_tokens;
    timings_.reused_tokens = prefix.rows;
    history_.clear();
    for (const PromptChunk & chunk : request_->prompt->chunks) {
        history_.insert(history_.end(), chunk.tokens.begin(), chunk.tokens.end());
        if (request_->asks_for_logits) {
            tokens_.insert(tokens_.end(), chunk.tokens.begin(), chunk.tokens.end());
            tokens_.resize(tokens_.size() + static_cast<size_t>(chunk.n_tokens) - chunk.tokens.size(), -1);
        }
    }
    list_prompt(model);
}

void Slot::list_prompt(const Model & model) {
    echo_.clear();
    echo_chunk_ = 0;
    if (!request_->limits.echo) {
        return;
    }
    TextStream text({});
    for (const PromptChunk & chunk : request_->prompt->chunks) {
        for (const llama_token token : chunk.tokens) {
            echo_.push_back({token, text.push(model.piece(token, true)), std::nullopt});
        }
    }
    if (!echo_.empty()) {
        echo_.back().text += text.flush();
    }
}

void Slot::score(int32_t row, const float * logits) {
    const auto & chunks = request_->prompt->chunks;
    const bool at_end = row + 1 == chunk().n_tokens;
    const bool text_next = at_end ? !last_chunk() && !chunks[chunk_ + 1].media : !chunk().media;
    if (!text_next) {
        return; // what comes next is no token of the prompt
    }
    TokenEvent & next = echo_[echo_chunk_ + (chunk().media ? 0 : static_cast<size_t>(row) + 1)];
    next.logprobs = request_->sampler->logprobs(logits, next.token);
}

void Slot::advance(int32_t rows) {
    if (!chunk().media) {
        trace_.add(chunk(), offset_, rows);
    } else if (offset_ + rows == chunk().n_tokens) {
        trace_.add(chunk(), 0, rows);
    }
    offset_ += rows;
    cost_ += static_cast<uint64_t>(rows);
    if (offset_ == chunk().n_tokens) {
        position_ += chunk().n_pos;
        echo_chunk_ += chunk().tokens.size();
        ++chunk_;
        offset_ = 0;
        while (!ahead_.empty() && ahead_.front().chunk < chunk_) {
            timings_.encode_ms += ahead_.front().fresh ? ahead_.front().encoding->ms : 0.0;
            ahead_.pop_front();
        }
    }
}

void Slot::want_media(Encoder & encoder) {
    const auto & chunks = request_->prompt->chunks;
    for (; media_asked_ < chunks.size() && ahead_.size() < media_ahead; ++media_asked_) {
        if (chunks[media_asked_].media) {
            auto [encoding, fresh] = encoder.want(chunks[media_asked_]);
            ahead_.push_back({media_asked_, std::move(encoding), fresh});
        }
    }
}

const Encoding * Slot::encoding() const {
    if (ahead_.empty() || ahead_.front().chunk != chunk_ || !ahead_.front().encoding->done()) {
        return nullptr;
    }
    return ahead_.front().encoding.get();
}

void Slot::token_evaluated() {
    trace_.add(next_);
    history_.push_back(next_);
    ++position_;
    ++cost_;
}

int32_t Slot::room(int32_t n_ctx) const {
    const int32_t limit = request_->limits.max_tokens;
    const int32_t so_far = timings_.generated_tokens + static_cast<int32_t>(held_->size());
    const int32_t wanted = limit < 0 ? n_ctx : limit - so_far - 1;
    return request_->asks_for_logits ? 0 : std::min({n_ctx - trace_.rows() - 1, wanted, static_cast<int32_t>(stream()->room()) - 1});
}

void Slot::count_guess(size_t guessed, size_t accepted) {
    timings_.drafted_tokens += static_cast<int32_t>(guessed);
    timings_.accepted_tokens += static_cast<int32_t>(accepted);
}

int32_t Slot::alike_rows() const {
    const int32_t row = trace_.rows();
    return row < adapters_.from ? adapters_.from - row : std::numeric_limits<int32_t>::max();
}

void Slot::lost(int32_t from, int32_t rows) {
    if (adapters_.from > from) {
        adapters_.from = std::max(from, adapters_.from - rows);
    }
}

void Slot::guessed(size_t accepted, size_t guessed, int32_t most) {
    if (accepted == guessed) {
        guess_limit_ = std::min(most, worth_guessing(most) * 2);
    } else if (accepted == 0) {
        guess_limit_ = std::max(1, worth_guessing(most) / 2);
    }
}

void Slot::forgot(int32_t from, int32_t rows, llama_pos positions) {
    lost(from, rows);
    position_ -= positions;
    held_->forgot(rows, positions);
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

std::string Slot::piece(llama_token token, const Model & model) const {
    const std::vector<llama_token> & shown = request_->prompt->shown_tokens();
    return model.piece(token, std::find(shown.begin(), shown.end(), token) != shown.end());
}

llama_token Slot::choose(Draw & draw, const float * logits, const Model & model) {
    if (const auto changed = stream()->take_grammar()) {
        request_->constraint =
            *changed ? std::make_unique<Constraint>(*changed, model, request_->prompt->shown_tokens()) : nullptr;
    }
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
        draw.constraint = request_->constraint ? std::make_shared<const Constraint>(*request_->constraint) : nullptr;
    }
    const llama_token token = request_->sampler->sample(logits, forbidden, request_->constraint.get());
    if (token == LLAMA_TOKEN_NULL) {
        throw Error(Errc::grammar, "no token of the model can go on as the grammar wants", {},
                    "The model's vocabulary may lack its characters, or the grammar was set in the middle of one");
    }
    request_->sampler->accept(token);
    if (request_->constraint) {
        request_->constraint->accept(token);
    }
    return token;
}

void Slot::go_back(const Draw & draw, size_t dropped) {
    request_->sampler->restore(draw.before);
    request_->constraint = draw.constraint ? std::make_unique<Constraint>(*draw.constraint) : nullptr;
    position_ = draw.position;
    history_.resize(history_.size() - static_cast<size_t>(trace_.rows() - draw.rows));
    trace_.truncate(draw.rows);
    went_back_ = true;
    tokens_.resize(tokens_.size() - std::min(dropped, tokens_.size()));
}

void Slot::sample(const float * logits, const Model & model, int32_t n_ctx) {
    went_back_ = false;
    if (timings_.prefill_ms < 0) {
        first_token_ = Clock::now();
        timings_.prefill_ms = ms_between(admitted_, first_token_);
        timings_.first_token_ms = ms_between(request_->submitted, first_token_);
        stream()->echo(std::exchange(echo_, {}));
    }
    if (request_->limits.max_tokens == 0) {
        finish(Finish::length);
        return;
    }
    std::vector<float> asked = std::exchange(asked_, {});
    Draw draw;
    draw.position = position_;
    draw.rows = trace_.rows();
    if (held_->active()) {
        draw.logits.assign(logits, logits + request_->sampler->n_vocab());
    }
    for (bool again = true; again;) {
        const float * from = draw.logits.empty() ? logits : draw.logits.data();
        try {
            next_ = choose(draw, from, model);
        } catch (const Error & error) { // this request's options alone
            finish(Finish::error, error);
            return;
        }
        if (is_end(next_, model)) {
            finish(Finish::stop);
            return;
        }
        if (request_->asks_for_logits) {
            tokens_.push_back(next_);
        }
        HeldToken token{next_, piece(next_, model), std::nullopt, std::move(draw)};
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
            return;
        }
    }
    if (request_->constraint && request_->constraint->finished()) {
        finish(Finish::stop);
        return;
    }
    const int32_t limit = request_->limits.max_tokens;
    const auto so_far = static_cast<int32_t>(held_->size()) + timings_.generated_tokens;
    const bool may_shift = request_->limits.overflow == "shift";
    if ((limit >= 0 && so_far >= limit) || (full(n_ctx) && !may_shift)) {
        finish(Finish::length);
    }
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
    if (request_->pooler && finish == Finish::stop) {
        timings_.prefill_ms = ms_between(admitted_, Clock::now());
        terminal.embedding = std::make_shared<const Embedding>(request_->pooler->take());
    }
    terminal.timings = timings_;
    --active_; // before anyone can see that it has ended
    stream()->finish(std::move(terminal));
    request_.reset();
    held_.reset();
    ahead_.clear();
    asked_.clear();
}

} // namespace mullama
