#include "slot.hpp"

#include <algorithm>
#include <utility>

namespace mullama {

namespace {

constexpr size_t media_ahead = 4; // encoded before their turn: keeps the encoder busy, bounds memory

} // namespace

void Slot::admit(std::unique_ptr<Request> request, const Model & model, const Prefix & prefix, uint64_t now) {
    request_ = std::move(request);
    ++active_;
    sampler_ = std::make_unique<Sampler>(request_->sampling, model.n_vocab());
    text_ = std::make_unique<TextStream>(request_->limits.stop);
    last_used_ = now;
    chunk_ = prefix.chunk;
    offset_ = prefix.offset;
    position_ = prefix.positions - prefix.offset;
    ahead_.clear();
    asked_ = chunk_;
    admitted_ = Clock::now();
    timings_ = {};
    timings_.queue_ms = ms_between(request_->submitted, admitted_);
    timings_.prompt_tokens = request_->prompt->n_tokens;
    timings_.reused_tokens = prefix.rows;
    history_.clear();
    for (const PromptChunk & chunk : request_->prompt->chunks) {
        for (const llama_token token : chunk.tokens) {
            sampler_->remember(token);
            history_.push_back(token);
        }
    }
}

void Slot::advance(int32_t rows) {
    if (!chunk().media) {
        trace_.add(chunk(), offset_, rows);
    } else if (offset_ + rows == chunk().n_tokens) {
        trace_.add(chunk(), 0, rows);
    }
    offset_ += rows;
    if (offset_ == chunk().n_tokens) {
        position_ += chunk().n_pos;
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
    for (; asked_ < chunks.size() && ahead_.size() < media_ahead; ++asked_) {
        if (chunks[asked_].media) {
            auto [encoding, fresh] = encoder.want(chunks[asked_]);
            ahead_.push_back({asked_, std::move(encoding), fresh});
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
}

int32_t Slot::room(int32_t n_ctx) const {
    const int32_t limit = request_->limits.max_tokens;
    const int32_t wanted = limit < 0 ? n_ctx : limit - timings_.generated_tokens - 1;
    return std::min({n_ctx - trace_.rows() - 1, wanted, static_cast<int32_t>(stream()->room()) - 1});
}

void Slot::count_guess(size_t guessed, size_t accepted) {
    timings_.drafted_tokens += static_cast<int32_t>(guessed);
    timings_.accepted_tokens += static_cast<int32_t>(accepted);
}

void Slot::sample(const float * logits, const Model & model, int32_t n_ctx) {
    const llama_token token = sampler_->sample(logits);
    counted_ = false;
    if (timings_.generated_tokens == 0) {
        first_token_ = Clock::now();
        timings_.prefill_ms = ms_between(admitted_, first_token_);
        timings_.first_token_ms = ms_between(request_->submitted, first_token_);
    }
    if (model.is_eog(token)) {
        finish(Finish::stop);
        return;
    }
    counted_ = true;
    ++timings_.generated_tokens;
    TokenEvent event{token, text_->push(model.piece(token, false)), std::nullopt};
    if (sampler_->wants_logprobs()) {
        event.logprobs = sampler_->logprobs(logits, token);
    }
    stream()->push(std::move(event));
    next_ = token;
    if (text_->stopped_by()) {
        finish(Finish::stop);
        return;
    }
    const int32_t limit = request_->limits.max_tokens;
    const bool may_shift = request_->limits.overflow == "shift";
    if ((limit >= 0 && timings_.generated_tokens >= limit) || (full(n_ctx) && !may_shift)) {
        finish(Finish::length);
    }
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
    --active_; // before anyone can see that it has ended
    stream()->finish(std::move(terminal));
    request_.reset();
    sampler_.reset();
    text_.reset();
    ahead_.clear();
}

} // namespace mullama
