#include "adapted.hpp"

#include <algorithm>
#include <limits>

namespace mullama {

bool same_set(const AdapterSet * a, const AdapterSet * b) {
    static const AdapterSet none;
    return (a != nullptr ? *a : none) == (b != nullptr ? *b : none);
}

int32_t agreeing_rows(const Adapted & a, const Adapted & b) {
    const int32_t first = std::min(a.from, b.from);
    const int32_t second = std::max(a.from, b.from);
    for (const auto & [begin, end] : {std::pair(0, first), std::pair(first, second)}) {
        if (begin < end && !same_set(a.at(begin).get(), b.at(begin).get())) {
            return begin;
        }
    }
    return same_set(a.after.get(), b.after.get()) ? std::numeric_limits<int32_t>::max() : second;
}

Adapted adapted(std::shared_ptr<const AdapterSet> set, const Model & model, const Prompt & prompt) {
    if (!set) {
        return {};
    }
    set->check(model);
    std::vector<std::pair<std::shared_ptr<const LoraAdapter>, float>> always;
    const LoraAdapter * activated = nullptr;
    for (const auto & lora : set->loras()) {
        if (lora.first->invocation_tokens().empty()) {
            always.push_back(lora);
        } else if (activated != nullptr) {
            throw Error(Errc::model_capability, "a request can have one activated LoRA, and this is a second",
                        lora.first->path(), "Leave one of them out, or make two requests");
        } else {
            activated = lora.first.get();
        }
    }
    if (activated == nullptr) {
        return {nullptr, std::move(set), 0};
    }
    auto before = std::make_shared<const AdapterSet>(always, set->control());
    const std::vector<llama_token> rows = prompt.row_tokens();
    const std::vector<llama_token> call = activated->invocation_tokens();
    const auto found = std::find_end(rows.begin(), rows.end(), call.begin(), call.end());
    if (found == rows.end()) {
        return {nullptr, std::move(before), 0};
    }
    return {std::move(before), std::move(set), static_cast<int32_t>(found - rows.begin())};
}

} // namespace mullama
