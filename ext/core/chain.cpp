#include "chain.hpp"

#include "guard.hpp"
#include "model.hpp"
#include "tail_free.hpp"

#include <algorithm>

namespace mullama {

namespace {

// Below this the division by the temperature leaves the range of a float.
constexpr float coldest = 1e-6F;
constexpr int32_t mirostat_m = 100; // tokens its exponent is estimated from; the paper's value

bool has_penalties(const SamplingParams & params) {
    return params.penalty_last_n > 0 && (params.repeat_penalty != 1.0F || params.frequency_penalty != 0.0F ||
                                         params.presence_penalty != 0.0F);
}

bool has_dry(const SamplingParams & params) {
    return params.dry_multiplier > 0.0F && params.dry_base >= 1.0F && params.dry_penalty_last_n > 0;
}

llama_sampler * make_dry(const SamplingParams & params, const Model * model) {
    if (model == nullptr && !params.dry_sequence_breakers.empty()) {
        throw Error(Errc::invalid_option, "sequence breakers are text and need a model's vocabulary",
                    "SamplingParams.dry_sequence_breakers", "Give the model, or no sequence breakers");
    }
    std::vector<const char *> breakers;
    for (const std::string & breaker : params.dry_sequence_breakers) {
        breakers.push_back(breaker.c_str());
    }
    return guarded(Errc::invalid_option, "SamplingParams.dry_sequence_breakers", [&] {
        return llama_sampler_init_dry(model != nullptr ? model->vocab() : nullptr, params.dry_multiplier,
                                      params.dry_base, params.dry_allowed_length, params.dry_penalty_last_n,
                                      breakers.empty() ? nullptr : breakers.data(), breakers.size());
    });
}

// Adds the named sampler to the chain; false if there is none of that name. What is off adds nothing.
struct Builder {
    const SamplingParams & params;
    int32_t n_vocab;
    const Model * model;
    uint32_t seed;
    llama_sampler * chain;

    size_t keep() const { return static_cast<size_t>(std::max(params.min_keep, 1)); }
    void add(llama_sampler * sampler) const { llama_sampler_chain_add(chain, sampler); }

    // These change logits and apply to greedy choice and to every kind of draw.
    bool reweigh(const std::string & name) const {
        if (name == "penalties") {
            if (has_penalties(params)) {
                add(llama_sampler_init_penalties(n_vocab, params.penalty_last_n, params.repeat_penalty,
                                                 params.frequency_penalty, params.presence_penalty));
            }
        } else if (name == "dry") {
            if (has_dry(params)) {
                add(make_dry(params, model));
            }
        } else {
            return false;
        }
        return true;
    }

    bool heat(const std::string & name) const {
        if (name != "temperature") {
            return false;
        }
        if (params.dynamic_temperature_range > 0.0F) {
            add(llama_sampler_init_temp_ext(params.temperature, params.dynamic_temperature_range,
                                            params.dynamic_temperature_exponent));
        } else if (params.temperature != 1.0F) {
            add(llama_sampler_init_temp(params.temperature));
        }
        return true;
    }

    // These remove candidates.
    bool truncate(const std::string & name) const {
        if (name == "top_k") {
            if (params.top_k > 0) {
                add(llama_sampler_init_top_k(std::max(params.top_k, params.min_keep)));
            }
        } else if (name == "top_p") {
            if (params.top_p < 1.0F) {
                add(llama_sampler_init_top_p(params.top_p, keep()));
            }
        } else if (name == "min_p") {
            if (params.min_p > 0.0F) {
                add(llama_sampler_init_min_p(params.min_p, keep()));
            }
        } else if (name == "typical_p") {
            if (params.typical_p < 1.0F) {
                add(init_possible()); // its entropy is not a number where a probability is 0
                add(llama_sampler_init_typical(params.typical_p, keep()));
            }
        } else if (name == "tfs_z") {
            if (params.tfs_z < 1.0F) {
                add(init_tail_free(params.tfs_z, keep()));
            }
        } else if (name == "top_n_sigma") {
            if (params.top_n_sigma > 0.0F) {
                add(llama_sampler_init_top_n_sigma(params.top_n_sigma));
                add(init_possible()); // it marks the tokens; the samplers after it should not see them
            }
        } else if (name == "xtc") {
            if (params.xtc_probability > 0.0F) {
                add(llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, keep(), seed));
            }
        } else {
            return false;
        }
        return true;
    }

    void draw() const {
        if (params.mirostat == 1) {
            add(init_possible());
            add(llama_sampler_init_mirostat(n_vocab, seed, params.mirostat_tau, params.mirostat_eta, mirostat_m));
        } else if (params.mirostat == 2) {
            add(llama_sampler_init_mirostat_v2(seed, params.mirostat_tau, params.mirostat_eta));
        } else if (params.adaptive_p_target >= 0.0F) {
            add(llama_sampler_init_adaptive_p(params.adaptive_p_target, params.adaptive_p_decay, seed));
        } else {
            add(llama_sampler_init_dist(seed));
        }
    }
};

} // namespace

bool is_greedy(const SamplingParams & params) { return params.temperature < coldest; }

llama_sampler_ptr make_chain(const SamplingParams & params, int32_t n_vocab, const Model * model, uint32_t seed) {
    llama_sampler_chain_params raw = llama_sampler_chain_default_params();
    raw.no_perf = true;
    llama_sampler_ptr chain(llama_sampler_chain_init(raw));
    const Builder build{params, n_vocab, model, seed, chain.get()};
    const bool greedy = is_greedy(params);
    for (const std::string & name : params.samplers) {
        // Mirostat steers surprise by truncation of its own, so it replaces the others.
        const bool known = build.reweigh(name) || (greedy && name == "temperature") ||
                           (!greedy && build.heat(name)) ||
                           ((greedy || params.mirostat != 0) ? true : build.truncate(name));
        if (!known) {
            throw Error(Errc::invalid_option, "no such sampler: " + name, "SamplingParams.samplers");
        }
    }
    if (!greedy) {
        build.draw();
    }
    if (llama_sampler_chain_n(chain.get()) == 0) {
        chain.reset();
    }
    return chain;
}

} // namespace mullama
