#include "tail_free.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mullama {

namespace {

struct TailFree {
    float z;
    size_t min_keep;
};

void sort_by_logit(llama_token_data_array * candidates) {
    if (!candidates->sorted) {
        std::stable_sort(candidates->data, candidates->data + candidates->size,
                         [](const llama_token_data & a, const llama_token_data & b) { return a.logit > b.logit; });
        candidates->sorted = true;
    }
}

void tail_free_apply(llama_sampler * sampler, llama_token_data_array * candidates) {
    const auto & params = *static_cast<const TailFree *>(sampler->ctx);
    if (candidates->size <= std::max<size_t>(params.min_keep, 2)) {
        return;
    }
    sort_by_logit(candidates);
    const double largest = static_cast<double>(candidates->data[0].logit);
    std::vector<double> curve(candidates->size);
    double sum = 0.0;
    for (size_t i = 0; i < curve.size(); ++i) {
        curve[i] = std::exp(static_cast<double>(candidates->data[i].logit) - largest);
        sum += curve[i];
    }
    // |second difference|; the scale cancels in the shares, so `sum` is only for the flat case
    double total = 0.0;
    for (size_t i = 0; i + 2 < curve.size(); ++i) {
        curve[i] = std::abs(curve[i] - 2.0 * curve[i + 1] + curve[i + 2]);
        total += curve[i];
    }
    if (total < 1e-9 * sum) {
        return; // a straight line has no tail
    }
    double seen = 0.0;
    for (size_t i = 0; i + 2 < curve.size(); ++i) {
        seen += curve[i] / total;
        if (seen > static_cast<double>(params.z)) {
            candidates->size = std::max(i + 1, params.min_keep);
            return;
        }
    }
}

void possible_apply(llama_sampler *, llama_token_data_array * candidates) {
    if (candidates->size == 0) {
        return;
    }
    float largest = candidates->data[0].logit;
    for (size_t i = 1; i < candidates->size; ++i) {
        largest = std::max(largest, candidates->data[i].logit);
    }
    constexpr float smallest = -87.0F; // exp() of less is denormal or 0
    llama_token_data * end =
        std::remove_if(candidates->data, candidates->data + candidates->size,
                       [&](const llama_token_data & candidate) { return !(candidate.logit - largest >= smallest); });
    candidates->size = std::max<size_t>(static_cast<size_t>(end - candidates->data), 1);
}

llama_sampler_i tail_free_i{
    .name = [](const llama_sampler *) { return "tail-free"; },
    .accept = nullptr,
    .apply = tail_free_apply,
    .reset = nullptr,
    .clone =
        [](const llama_sampler * sampler) {
            const auto & params = *static_cast<const TailFree *>(sampler->ctx);
            return init_tail_free(params.z, params.min_keep);
        },
    .free = [](llama_sampler * sampler) { delete static_cast<TailFree *>(sampler->ctx); },
    .backend_init = nullptr,
    .backend_accept = nullptr,
    .backend_apply = nullptr,
    .backend_set_input = nullptr,
    .backend_reset = nullptr,
    .copy_state = nullptr,
};

llama_sampler_i possible_i{
    .name = [](const llama_sampler *) { return "possible"; },
    .accept = nullptr,
    .apply = possible_apply,
    .reset = nullptr,
    .clone = [](const llama_sampler *) { return init_possible(); },
    .free = nullptr,
    .backend_init = nullptr,
    .backend_accept = nullptr,
    .backend_apply = nullptr,
    .backend_set_input = nullptr,
    .backend_reset = nullptr,
    .copy_state = nullptr,
};

} // namespace

llama_sampler * init_tail_free(float z, size_t min_keep) {
    return llama_sampler_init(&tail_free_i, new TailFree{z, min_keep});
}

llama_sampler * init_possible() { return llama_sampler_init(&possible_i, nullptr); }

} // namespace mullama
