#include "sampling.hpp"

#include "chain.hpp"
#include "error.hpp"
#include "model.hpp"
#include "token_table.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace mullama {

namespace {

void check_logit_bias(const SamplingParams & params, int32_t n_vocab) {
    for (const auto & [token, bias] : params.logit_bias) {
        if (token < 0 || token >= n_vocab) {
            throw Error(Errc::invalid_option,
                        "token " + std::to_string(token) + " is not in the vocabulary of " + std::to_string(n_vocab),
                        "SamplingParams.logit_bias");
        }
    }
}

// Tokens that contain one of the strings all by themselves.
std::vector<llama_token> tokens_with(const std::vector<std::string> & strings, const Model * model) {
    std::vector<llama_token> tokens;
    if (strings.empty()) {
        return tokens;
    }
    if (model == nullptr) {
        throw Error(Errc::invalid_option, "banned strings are text and need a model's vocabulary",
                    "SamplingParams.banned_strings", "Give the model");
    }
    for (llama_token token = 0; token < model->n_vocab(); ++token) {
        const std::string piece = model->piece(token, false);
        if (std::any_of(strings.begin(), strings.end(),
                        [&](const std::string & string) { return piece.find(string) != std::string::npos; })) {
            tokens.push_back(token);
        }
    }
    return tokens;
}

// The first of the largest numbers, and what it is. A strip at a time, in lanes, so that any compiler
// makes vector code of it: for 49,152 logits a tenth of std::max_element's time. NaN is never larger.
std::pair<int32_t, float> first_largest(const float * values, int32_t count) {
    constexpr int32_t strip = 512;
    constexpr int32_t lanes = 16;
    std::pair<int32_t, float> best{0, -INFINITY}; // where the strip begins
    for (int32_t from = 0; from < count; from += strip) {
        const int32_t here = std::min(strip, count - from);
        float largest[lanes];
        std::fill_n(largest, lanes, -INFINITY);
        const float * const value = values + from;
        for (int32_t i = 0; i + lanes <= here; i += lanes) {
            for (int32_t lane = 0; lane < lanes; ++lane) {
                largest[lane] = value[i + lane] > largest[lane] ? value[i + lane] : largest[lane];
            }
        }
        for (int32_t i = here / lanes * lanes; i < here; ++i) {
            largest[0] = value[i] > largest[0] ? value[i] : largest[0];
        }
        const float top = *std::max_element(largest, largest + lanes);
        if (top > best.second) {
            best = {from, top};
        }
    }
    while (best.first < count && values[best.first] != best.second) {
        ++best.first;
    }
    return best;
}

size_t largest_of(const llama_token_data_array & array) {
    const auto * best =
        std::max_element(array.data, array.data + array.size,
                         [](const llama_token_data & a, const llama_token_data & b) { return a.logit < b.logit; });
    return static_cast<size_t>(best - array.data);
}

} // namespace

Sampler::Sampler(const SamplingParams & params, int32_t n_vocab, const Model * model)
    : params_(params), n_vocab_(n_vocab),
      seed_(params.seed < 0 ? std::random_device{}() : static_cast<uint32_t>(params.seed)),
      greedy_(is_greedy(params)), never_(tokens_with(params.banned_strings, model)) {
    check_logit_bias(params, n_vocab);
    if (seed_ == LLAMA_DEFAULT_SEED) {
        --seed_; // llama.cpp takes this number for "any"
    }
    chain_ = make_chain(params_, n_vocab, model, seed_);
}

void Sampler::remember(llama_token token) {
    if (chain_) {
        llama_sampler_accept(chain_.get(), token);
    }
}

void Sampler::accept(llama_token token) {
    if (chain_) {
        llama_sampler_accept(chain_.get(), token);
    }
}

// Candidates that are banned or not a number are left out, so that no sampler meets them.
void Sampler::fill(const float * logits, const std::vector<llama_token> & forbidden,
                   const TokenMask * allowed, std::vector<llama_token_data> & candidates) const {
    candidates.resize(static_cast<size_t>(n_vocab_));
    for (int32_t id = 0; id < n_vocab_; ++id) {
        candidates[static_cast<size_t>(id)] = {id, logits[id], 0.0F};
    }
    for (const auto & [token, bias] : params_.logit_bias) {
        candidates[static_cast<size_t>(token)].logit += bias;
    }
    for (const std::vector<llama_token> * tokens : {&never_, &forbidden}) {
        for (const llama_token token : *tokens) {
            candidates[static_cast<size_t>(token)].logit = -INFINITY;
        }
    }
    std::erase_if(candidates, [allowed](const llama_token_data & candidate) {
        return !(candidate.logit > -INFINITY) || (allowed != nullptr && !allowed->has(candidate.id));
    });
    if (candidates.empty() && allowed == nullptr) {
        throw Error(Errc::decode, "no token is left to choose: all are banned, or the model's logits are not numbers");
    }
}

llama_token Sampler::sample(const float * logits, const std::vector<llama_token> & forbidden,
                            TokenFilter * filter) {
    llama_token token = pick(logits, forbidden, nullptr);
    while (filter != nullptr && token != LLAMA_TOKEN_NULL && !filter->allows(token)) {
        const llama_token other = pick(logits, forbidden, &filter->allowed());
        token = other == token ? LLAMA_TOKEN_NULL : other; // the same again would go on for ever
    }
    return token;
}

llama_token Sampler::pick(const float * logits, const std::vector<llama_token> & forbidden,
                          const TokenMask * allowed) {
    if (allowed == nullptr && greedy_ && !chain_ && params_.logit_bias.empty() && never_.empty() && forbidden.empty()) {
        if (const auto [token, logit] = first_largest(logits, n_vocab_); logit > -INFINITY) {
            return token;
        }
    }
    fill(logits, forbidden, allowed, candidates_);
    if (candidates_.empty()) {
        return LLAMA_TOKEN_NULL;
    }
    llama_token_data_array array{candidates_.data(), candidates_.size(), -1, false};
    if (chain_) {
        llama_sampler_apply(chain_.get(), &array);
    }
    const size_t chosen = greedy_ ? largest_of(array) : static_cast<size_t>(std::max<int64_t>(array.selected, 0));
    return array.data[chosen].id;
}

std::vector<llama_token_data> Sampler::apply(const float * logits) const {
    std::vector<llama_token_data> candidates;
    fill(logits, {}, nullptr, candidates);
    llama_token_data_array array{candidates.data(), candidates.size(), -1, false};
    const State copy = save();
    if (copy.chain) {
        llama_sampler_apply(copy.chain.get(), &array);
    }
    if (greedy_) {
        llama_token_data chosen = array.data[largest_of(array)];
        chosen.p = 1.0F;
        return {chosen};
    }
    return {array.data, array.data + array.size};
}

Sampler::State Sampler::save() const {
    return {llama_sampler_ptr(chain_ ? llama_sampler_clone(chain_.get()) : nullptr)};
}

void Sampler::restore(const State & state) {
    chain_.reset(state.chain ? llama_sampler_clone(state.chain.get()) : nullptr);
}

TokenLogprobs Sampler::logprobs(const float * logits, llama_token token) const {
    const float largest = first_largest(logits, n_vocab_).second;
    double sum = 0.0;
    for (int32_t id = 0; id < n_vocab_; ++id) {
        sum += std::exp(static_cast<double>(logits[id] - largest));
    }
    const double log_sum = std::log(sum) + static_cast<double>(largest);
    const auto logprob = [&](llama_token id) { return static_cast<float>(static_cast<double>(logits[id]) - log_sum); };

    TokenLogprobs out;
    out.chosen = logprob(token);
    const auto count = static_cast<size_t>(std::min(params_.logprobs, n_vocab_));
    if (params_.logprobs > 0) {
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
