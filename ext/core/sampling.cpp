#include "sampling.hpp"

#include "token_table.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace mullama {

namespace {

bool has_penalties(const SamplingParams & params) {
    return params.penalty_last_n != 0 && (params.repeat_penalty != 1.0F || params.frequency_penalty != 0.0F ||
                                          params.presence_penalty != 0.0F);
}

} // namespace

Sampler::Sampler(const SamplingParams & params, int32_t n_vocab)
    : params_(params), n_vocab_(n_vocab),
      seed_(params.seed < 0 ? std::random_device{}() : static_cast<uint32_t>(params.seed)),
      plain_greedy_(params.temperature <= 0.0F && !has_penalties(params)) {
    if (plain_greedy_) {
        return;
    }
    llama_sampler_chain_params raw = llama_sampler_chain_default_params();
    raw.no_perf = true;
    chain_.reset(llama_sampler_chain_init(raw));
    const auto add = [this](llama_sampler * sampler) { llama_sampler_chain_add(chain_.get(), sampler); };
    if (has_penalties(params)) {
        add(llama_sampler_init_penalties(n_vocab, params.penalty_last_n, params.repeat_penalty,
                                         params.frequency_penalty, params.presence_penalty));
    }
    if (params.temperature <= 0.0F) {
        add(llama_sampler_init_greedy());
    } else {
        if (params.top_k > 0) {
            add(llama_sampler_init_top_k(params.top_k));
        }
        if (params.top_p < 1.0F) {
            add(llama_sampler_init_top_p(params.top_p, 1));
        }
        if (params.min_p > 0.0F) {
            add(llama_sampler_init_min_p(params.min_p, 1));
        }
        add(llama_sampler_init_temp(params.temperature));
        add(llama_sampler_init_dist(seed_));
    }
    candidates_.reserve(static_cast<size_t>(n_vocab));
}

void Sampler::remember(llama_token token) {
    if (chain_) {
        llama_sampler_accept(chain_.get(), token);
    }
}

llama_token Sampler::sample(const float * logits, TokenFilter * filter) {
    llama_token token = pick(logits, nullptr);
    while (filter != nullptr && token != LLAMA_TOKEN_NULL && !filter->allows(token)) {
        const llama_token other = pick(logits, &filter->allowed());
        token = other == token ? LLAMA_TOKEN_NULL : other; // the same again would go on for ever
    }
    if (token != LLAMA_TOKEN_NULL) {
        remember(token);
    }
    return token;
}

llama_token Sampler::pick(const float * logits, const TokenMask * allowed) {
    const auto may = [&](llama_token id) { return allowed == nullptr || allowed->has(id); };
    if (plain_greedy_ && allowed == nullptr) {
        return static_cast<llama_token>(std::max_element(logits, logits + n_vocab_) - logits);
    }
    candidates_.clear();
    llama_token best = LLAMA_TOKEN_NULL;
    for (int32_t id = 0; id < n_vocab_; ++id) {
        if (may(id)) {
            best = best == LLAMA_TOKEN_NULL || logits[id] > logits[best] ? id : best;
            if (!plain_greedy_) {
                candidates_.push_back({id, logits[id], 0.0F});
            }
        }
    }
    if (plain_greedy_ || candidates_.empty()) {
        return best;
    }
    llama_token_data_array array{candidates_.data(), candidates_.size(), -1, false};
    llama_sampler_apply(chain_.get(), &array);
    return array.data[array.selected].id;
}

TokenLogprobs Sampler::logprobs(const float * logits, llama_token token) const {
    const float largest = *std::max_element(logits, logits + n_vocab_);
    double sum = 0.0;
    for (int32_t id = 0; id < n_vocab_; ++id) {
        sum += std::exp(static_cast<double>(logits[id] - largest));
    }
    const double log_sum = std::log(sum) + static_cast<double>(largest);
    const auto logprob = [&](llama_token id) { return static_cast<float>(static_cast<double>(logits[id]) - log_sum); };

    TokenLogprobs out;
    out.chosen = logprob(token);
    const auto count = static_cast<size_t>(std::min(params_.logprobs, n_vocab_));
    if (count > 0) {
        std::vector<llama_token> ids(static_cast<size_t>(n_vocab_));
        for (int32_t id = 0; id < n_vocab_; ++id) {
            ids[static_cast<size_t>(id)] = id;
        }
        std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(),
                          [&](llama_token a, llama_token b) { return logits[a] > logits[b]; });
        for (size_t i = 0; i < count; ++i) {
            out.top.emplace_back(ids[i], logprob(ids[i]));
        }
    }
    return out;
}

} // namespace mullama
