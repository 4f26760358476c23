#include "slot.hpp"

#include <algorithm>
#include <utility>

namespace mullama {

double ms_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

void Slot::admit(std::unique_ptr<Request> request, const Model & model) {
    request_ = std::move(request);
    sampler_ = std::make_unique<Sampler>(request_->sampling, model.n_vocab());
    text_ = std::make_unique<TextStream>(request_->limits.stop);
    chunk_ = 0;
    offset_ = 0;
    position_ = 0;
    rows_ = 0;
    embeddings.clear();
    admitted_ = Clock::now();
    timings_ = {};
    timings_.queue_ms = ms_between(request_->submitted, admitted_);
    timings_.prompt_tokens = request_->prompt->n_tokens;
    for (const PromptChunk & chunk : request_->prompt->chunks) {
        for (const llama_token token : chunk.tokens) {
            sampler_->remember(token);
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

std::string Slot::piece(llama_token token, const Model & model) const {
    const std::vector<llama_token> & shown = request_->prompt->shown_tokens();
    return model.piece(token, std::find(shown.begin(), shown.end(), token) != shown.end());
}

bool Slot::sample(const float * logits, const Model & model, int32_t n_ctx) {
    llama_token token = LLAMA_TOKEN_NULL;
    try {
        if (const auto changed = stream()->take_grammar()) {
            request_->constraint =
                *changed ? std::make_unique<Constraint>(*changed, model, request_->prompt->shown_tokens()) : nullptr;
        }
        token = sampler_->sample(logits, request_->constraint.get());
        if (token == LLAMA_TOKEN_NULL) {
            throw Error(Errc::grammar, "no token of the model can go on as the grammar wants", {},
                        "The model's vocabulary may lack its characters, or the grammar was set in the middle of one");
        }
        if (request_->constraint) {
            request_->constraint->accept(token);
        }
    } catch (const Error & error) { // this request's fault alone
        finish(Finish::error, error);
        return true;
    }
    if (timings_.generated_tokens == 0) {
        first_token_ = Clock::now();
        timings_.prefill_ms = ms_between(admitted_, first_token_);
        timings_.first_token_ms = ms_between(request_->submitted, first_token_);
    }
    if (model.is_eog(token)) {
        finish(Finish::stop);
        return true;
    }
    ++timings_.generated_tokens;
    TokenEvent event{token, text_->push(piece(token, model)), std::nullopt};
    if (sampler_->wants_logprobs()) {
        event.logprobs = sampler_->logprobs(logits, token);
    }
    stream()->push(std::move(event));
    next_ = token;
    if (text_->stopped_by()) {
        finish(Finish::stop);
        return true;
    }
    if (request_->constraint && request_->constraint->finished()) {
        finish(Finish::stop);
        return true;
    }
    const int32_t limit = request_->limits.max_tokens;
    if ((limit >= 0 && timings_.generated_tokens >= limit) || rows_ >= n_ctx) {
        finish(Finish::length);
        return true;
    }
    return false;
}

void Slot::finish(Finish finish, std::optional<Error> error) {
    Terminal terminal;
    terminal.finish = finish;
    terminal.text = text_->flush();
    terminal.stop_string = text_->stopped_by().value_or("");
    terminal.error = std::move(error);
    if (timings_.generated_tokens > 0) {
        timings_.decode_ms = ms_between(first_token_, Clock::now());
    }
    terminal.timings = timings_;
    stream()->finish(std::move(terminal));
    request_.reset();
    sampler_.reset();
    text_.reset();
    embeddings.clear();
}

} // namespace mullama
