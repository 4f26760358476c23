// Which adapters act on which rows of a sequence.
#pragma once

#include "adapter.hpp"
#include "prompt.hpp"

#include <cstdint>
#include <memory>

namespace mullama {

struct Adapted {
    std::shared_ptr<const AdapterSet> before; // null: none
    std::shared_ptr<const AdapterSet> after;  // likewise
    int32_t from = 0;                         // the first row that `after` acts on

    const std::shared_ptr<const AdapterSet> & at(int32_t row) const { return row < from ? before : after; }
};

// null is the empty set.
bool same_set(const AdapterSet * a, const AdapterSet * b);

// Rows from the start on which both act alike; INT32_MAX when on all.
int32_t agreeing_rows(const Adapted & a, const Adapted & b);

// A set, which may be null, as it acts on a prompt. An activated LoRA (Greenewald et al. 2025, "Activated
// LoRA") acts from the first of its invocation tokens on, where they last stand in the prompt, and not at
// all where they do not; rows before that are those of the bare model and can be shared with it. Throws
// what AdapterSet::check() throws, and Error(model_capability) for more than one activated LoRA.
Adapted adapted(std::shared_ptr<const AdapterSet> set, const Model & model, const Prompt & prompt);

} // namespace mullama
