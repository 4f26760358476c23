// Which sequence a request gets, and how much of its prompt is in a KV cache already.
#include "engine.hpp"

#include <algorithm>

namespace mullama {

namespace {

// Fewer shared rows than this are evaluated again rather than copied or waited for.
constexpr int32_t worthwhile_rows = 32;

} // namespace

// As match(), less what the memory cannot give: a sliding window may have passed the rows that the
// next one attends to, and a recurrent state cannot be taken back.
Prefix Engine::usable_prefix(const Slot & slot, const Request & request) const {
    if (!params_.reuse_prefix || whole_ || !request.may_reuse()) {
        return {};
    }
    // What follows a row that was taken out, and what was loaded, is for that session and no other.
    const bool own = request.session != 0 && slot.session() == request.session;
    const int32_t usable = own ? slot.trace().rows() : slot.trace().shared_rows();
    const Prefix prefix = slot.trace().match(*request.prompt, std::min(usable, agreeing_rows(slot.adapters(), request.adapters)));
    if (prefix.rows == 0) {
        return {};
    }
    if (model_->recurrent() && (prefix.rows != slot.trace().rows() || !slot.idle())) {
        return {};
    }
    // With swa_full too: a state that was saved holds no more than the window.
    if (const int32_t window = model_->n_swa(); window > 0) {
        const llama_pos first = llama_memory_seq_pos_min(llama_get_memory(context_.get()), slot.seq());
        if (first < 0 || first > std::max(0, prefix.positions - window)) {
            return {};
        }
    }
    return prefix;
}

// Whether a prompt being evaluated will soon be worth more to this request than any cache is now.
bool Engine::worth_waiting(const Request & request) const {
    if (!params_.reuse_prefix || whole_ || !request.may_reuse() || model_->recurrent()) {
        return false;
    }
    int32_t now = 0;
    int32_t soon = 0;
    for (const Slot & slot : slots_) {
        now = std::max(now, usable_prefix(slot, request).rows);
        if (slot.prefilling()) {
            const int32_t alike = agreeing_rows(slot.adapters(), request.adapters);
            soon = std::max(soon, std::min(alike, common_prefix(*slot.request().prompt, *request.prompt).rows));
        }
    }
    return soon - now >= worthwhile_rows;
}

bool Engine::keep_only(Slot & slot, const Prefix & prefix) {
    slot.trace().truncate(prefix.rows);
    llama_memory_t memory = llama_get_memory(context_.get());
    if (speculation_) {
        speculation_->keep_until(slot.seq(), prefix.positions);
    }
    if (llama_memory_seq_rm(memory, slot.seq(), prefix.positions, -1)) {
        return true;
    }
    llama_memory_seq_rm(memory, slot.seq(), -1, -1); // never refused for a whole sequence
    slot.trace().clear();
    return false;
}

Slot * Engine::prepare_slot(const Request & request, Prefix * prefix) {
    Slot * source = nullptr; // has most of the prompt
    Slot * oldest = nullptr; // the idle one whose cache is needed least; a session's own
    Prefix best;
    for (Slot & slot : slots_) {
        const Prefix usable = usable_prefix(slot, request);
        const bool better = usable.rows > best.rows ||
                            (usable.rows == best.rows && source && open_to(slot, request) && !open_to(*source, request));
        if (usable.rows > 0 && better) {
            source = &slot;
            best = usable;
        }
        const auto worth = [](const Slot & s) { return std::pair(s.trace().rows() > 0, s.last_used()); };
        if (open_to(slot, request) && (oldest == nullptr || worth(slot) < worth(*oldest))) {
            oldest = &slot;
        }
    }
    // A conversation goes on where it was; a prompt that only begins alike leaves that cache to its
    // owner and takes a copy, unless there is little to lose.
    const bool continues = source && open_to(*source, request) && source->trace().rows() - best.rows < 2 * worthwhile_rows;
    if (source == nullptr || source == oldest || continues || best.rows < worthwhile_rows) {
        Slot * slot = continues ? source : oldest;
        *prefix = slot == source ? best : usable_prefix(*slot, request);
        if (!keep_only(*slot, *prefix)) {
            *prefix = {};
        }
        return slot;
    }
    llama_memory_t memory = llama_get_memory(context_.get());
    llama_memory_seq_rm(memory, oldest->seq(), -1, -1);
    llama_memory_seq_cp(memory, source->seq(), oldest->seq(), -1, -1);
    if (speculation_) {
        speculation_->copy(source->seq(), oldest->seq());
    }
    oldest->trace() = source->trace();
    *prefix = best;
    if (!keep_only(*oldest, best)) {
        *prefix = {};
    }
    return oldest;
}

// The cache of a running request is full: keep the prompt, or as much of it as half the context
// holds, forget the older half of the rest, and move what is left up. Media are forgotten whole or not
// at all.
bool Engine::make_room(Slot & slot) {
    llama_memory_t memory = llama_get_memory(context_.get());
    if (!llama_memory_can_shift(memory) || model_->recurrent()) {
        end(slot, Finish::length);
        return false;
    }
    const int32_t keep = std::min(slot.prompt_rows(), n_ctx_ / 2);
    int32_t from = keep;
    int32_t rows = (slot.trace().rows() - keep) / 2;
    llama_pos position = 0;
    const llama_pos gone = rows > 0 ? slot.trace().erase(&from, &rows, &position) : 0;
    if (gone == 0) {
        end(slot, Finish::length);
        return false;
    }
    llama_memory_seq_rm(memory, slot.seq(), position, position + gone);
    llama_memory_seq_add(memory, slot.seq(), position + gone, -1, -gone);
    if (speculation_) {
        speculation_->shift(slot.seq(), position, gone);
    }
    slot.forgot(from, rows, gone);
    ++shifts_;
    return true;
}

} // namespace mullama
