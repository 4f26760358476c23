#include "request.hpp"

#include "model.hpp"

namespace mullama {

namespace {

void check(const Model & model, const SamplingParams & sampling, const Limits & limits) {
    for (const llama_token token : limits.stop_tokens) {
        if (token < 0 || token >= model.n_vocab()) {
            throw Error(Errc::invalid_option,
                        "token " + std::to_string(token) + " is not in the vocabulary of " +
                            std::to_string(model.n_vocab()),
                        "StreamConfig.stop_tokens");
        }
    }
    if (!sampling.banned_strings.empty() && model.recurrent()) {
        throw Error(Errc::model_capability, "its memory is recurrent and cannot go back, which banned strings need",
                    "SamplingParams.banned_strings", "Use stop strings, or another model");
    }
}

} // namespace

double ms_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

Clock::time_point Request::deadline() const {
    return limits.max_time_ms < 0 ? Clock::time_point::max() : submitted + std::chrono::milliseconds(limits.max_time_ms);
}

std::unique_ptr<Request> make_request(const Model & model, std::shared_ptr<const Prompt> prompt,
                                      const SamplingParams & sampling, const Limits & limits, bool asks_for_logits) {
    check(model, sampling, limits);
    auto request = std::make_unique<Request>();
    request->sampler = std::make_unique<Sampler>(sampling, model.n_vocab(), &model);
    for (const PromptChunk & chunk : prompt->chunks) {
        for (const llama_token token : chunk.tokens) {
            request->sampler->remember(token);
        }
    }
    const auto regex =
        limits.stop_regex.empty() ? nullptr : std::make_shared<const Regex>(limits.stop_regex);
    request->text = std::make_unique<TextStream>(limits.stop, regex);
    if (limits.ignore_eos || sampling.min_tokens > 0) {
        for (llama_token token = 0; token < model.n_vocab(); ++token) {
            if (model.is_eog(token)) {
                request->end_tokens.push_back(token);
            }
        }
    }
    request->prompt = std::move(prompt);
    request->sampling = sampling;
    request->limits = limits;
    request->asks_for_logits = asks_for_logits;
    return request;
}

std::unique_ptr<Request> make_state_request(std::shared_ptr<const Prompt> prompt, std::unique_ptr<Pooler> pooler,
                                            const ScoreParams & params) {
    auto request = std::make_unique<Request>();
    request->text = std::make_unique<TextStream>(std::vector<std::string>{}, nullptr);
    request->prompt = std::move(prompt);
    request->pooler = std::move(pooler);
    request->limits.max_time_ms = params.max_time_ms;
    request->limits.priority = params.priority;
    request->limits.client = params.client;
    return request;
}

} // namespace mullama
