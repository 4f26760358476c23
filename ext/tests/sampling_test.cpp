#include "check.hpp"
#include "error.hpp"
#include "sampling.hpp"

#include <algorithm>
#include <cmath>

using namespace mullama;

namespace {

const std::vector<float> logits{0.1F, 2.0F, -1.0F, 1.9F, 0.0F};

llama_token next(Sampler & sampler) {
    const llama_token token = sampler.sample(logits.data());
    sampler.accept(token);
    return token;
}

SamplingParams warm() {
    SamplingParams params;
    params.samplers = {"penalties", "top_k", "tfs_z", "min_p", "temperature"};
    params.temperature = 1.5F;
    params.seed = 42;
    return params;
}

} // namespace

TEST(temperature_zero_takes_the_largest) {
    Sampler sampler({}, 5);
    CHECK(sampler.sample(logits.data()) == 1);
}

TEST(temperature_zero_takes_the_first_of_the_largest_of_any_vocabulary) {
    for (const int32_t n_vocab : {1, 15, 16, 17, 511, 512, 513, 1040}) {
        Sampler sampler({}, n_vocab);
        std::vector<float> row(static_cast<size_t>(n_vocab));
        for (int32_t at = 0; at < n_vocab; ++at) {
            std::fill(row.begin(), row.end(), -1.0F);
            row[static_cast<size_t>(at)] = 0.5F;
            row.back() = 0.5F;
            row.front() = at == 0 ? 0.5F : NAN;
            CHECK(sampler.sample(row.data()) == at);
        }
    }
}

TEST(penalties_apply_to_greedy_and_count_the_prompt) {
    SamplingParams params = warm();
    params.temperature = 0.0F;
    params.presence_penalty = 0.5F;
    params.penalty_last_n = 8;
    Sampler sampler(params, 5);
    sampler.remember(1);
    CHECK(next(sampler) == 3);
    CHECK(next(sampler) == 1); // both are penalised now
}

TEST(the_same_seed_draws_the_same) {
    SamplingParams params = warm();
    Sampler a(params, 5);
    Sampler b(params, 5);
    params.seed = 43;
    Sampler c(params, 5);
    bool differs = false;
    for (int i = 0; i < 50; ++i) {
        const llama_token token = a.sample(logits.data());
        CHECK(token == b.sample(logits.data()));
        differs = differs || token != c.sample(logits.data());
    }
    CHECK(differs);
}

TEST(top_k_and_min_p_cut_the_tail) {
    SamplingParams params = warm();
    params.temperature = 5.0F;
    params.top_k = 2;
    Sampler narrow(params, 5);
    params.top_k = 0;
    params.min_p = 0.9F; // logits 2.0 and 1.9: p ratio 0.905
    Sampler likely(params, 5);
    for (int i = 0; i < 100; ++i) {
        const llama_token token = narrow.sample(logits.data());
        CHECK(token == 1 || token == 3);
        const llama_token other = likely.sample(logits.data());
        CHECK(other == 1 || other == 3);
    }
}

TEST(logprobs_are_of_the_models_distribution) {
    SamplingParams params;
    params.logprobs = 2;
    Sampler sampler(params, 5);
    const TokenLogprobs out = sampler.logprobs(logits.data(), 3);
    double sum = 0;
    for (const float logit : logits) {
        sum += std::exp(static_cast<double>(logit));
    }
    CHECK(std::abs(static_cast<double>(out.chosen) - (1.9 - std::log(sum))) < 1e-6);
    CHECK(out.top.size() == 2 && out.top[0].first == 1 && out.top[1].first == 3);
}

TEST(forbidden_tokens_are_not_drawn_and_all_forbidden_is_an_error) {
    for (const float temperature : {0.0F, 1.0F}) {
        SamplingParams params = warm();
        params.temperature = temperature;
        Sampler sampler(params, 5);
        for (int i = 0; i < 20; ++i) {
            CHECK(sampler.sample(logits.data(), {0, 1, 2, 4}) == 3);
        }
        bool caught = false;
        try {
            sampler.sample(logits.data(), {0, 1, 2, 3, 4});
        } catch (const Error & error) {
            caught = error.code == Errc::decode;
        }
        CHECK(caught);
    }
}

TEST(a_saved_state_draws_the_same_again) {
    SamplingParams params = warm();
    params.presence_penalty = 1.0F;
    params.penalty_last_n = 8;
    Sampler sampler(params, 5);
    next(sampler);
    const Sampler::State state = sampler.save();
    std::vector<llama_token> first;
    for (int i = 0; i < 20; ++i) {
        first.push_back(next(sampler));
    }
    for (int again = 0; again < 2; ++again) {
        sampler.restore(state);
        for (const llama_token token : first) {
            CHECK(next(sampler) == token);
        }
    }
}

TEST(logits_that_are_not_numbers_are_left_out) {
    const std::vector<float> broken{NAN, -INFINITY, 1.0F, NAN, 0.5F};
    SamplingParams params = warm();
    params.tfs_z = 0.9F;
    Sampler sampler(params, 5);
    for (int i = 0; i < 50; ++i) {
        const llama_token token = sampler.sample(broken.data());
        CHECK(token == 2 || token == 4);
    }
}
