// From sequences to saved states and back.
#include "engine.hpp"

#include "digest.hpp"
#include "guard.hpp"
#include "log.hpp"

#include <algorithm>

namespace mullama {

namespace {

KvShape shape_of(const Model & model, const StateIdentity & identity) {
    KvShape shape;
    shape.recurrent = model.recurrent();
    shape.attention = !llama_model_is_recurrent(model.get());
    shape.window = model.n_swa() > 0;
    const llama_rope_type rope = llama_model_rope_type(model.get());
    shape.wide_cells = rope == LLAMA_ROPE_TYPE_MROPE || rope == LLAMA_ROPE_TYPE_IMROPE;
    shape.transposed_values = identity.settings.transposed_values;
    shape.type_k = cache_type_of(identity.type_k);
    shape.type_v = cache_type_of(identity.type_v);
    return shape;
}

// Throws Error(state | context_overflow) unless the sequence can be put into such an engine.
void check_sequence(const SavedSequence & saved, const Model & model, const KvShape & shape, int32_t n_ctx) {
    const Trace & trace = saved.trace;
    if (std::max(trace.rows(), trace.positions()) > n_ctx) {
        throw Error(Errc::context_overflow,
                    "the saved sequence takes " + std::to_string(std::max(trace.rows(), trace.positions())) +
                        " tokens and the context holds " + std::to_string(n_ctx),
                    "n_ctx", "Make the engine with a larger n_ctx");
    }
    for (const Trace::Run & run : trace.runs()) {
        for (const llama_token token : run.tokens) {
            if (token < 0 || token >= model.n_vocab()) {
                throw Error(Errc::state, "it cannot be right: token " + std::to_string(token) + " is not in the vocabulary",
                            {}, "The file is damaged or was made up");
            }
        }
    }
    if (trace.rows() > 0) {
        check_parts(saved.parts, shape, trace);
    }
}

// Some rows of the cache were evaluated with other adapters than the rest.
bool changes_adapters(const Slot & slot) {
    const int32_t from = slot.adapters().from;
    return from > 0 && from < slot.trace().rows();
}

} // namespace

StateIdentity Engine::identity() {
    const std::lock_guard lock(identity_mutex_);
    if (!identity_) {
        StateIdentity made;
        auto settings = commands_.post([this] { return cache_settings(context_.get()); });
        mailbox_->wake();
        made.settings = settings.get();
        made.model_name = model_->description();
        made.model = model_fingerprint(*model_);
        made.media = media_ ? file_fingerprint(media_->path()) : "";
        made.type_k = params_.cache_type_k;
        made.type_v = params_.cache_type_v;
        identity_ = std::move(made);
    }
    return *identity_;
}

TakenState Engine::take_state(const Slot & slot) {
    if (changes_adapters(slot)) {
        throw Error(Errc::model_capability, "a part of it was evaluated with an activated LoRA and a part without",
                    "adapters", "Remove the rows from its invocation on first");
    }
    TakenState taken{slot.trace(), slot.adapters().at(slot.trace().rows() - 1), {}, slot.last_used()};
    if (slot.trace().rows() == 0) {
        return taken;
    }
    const LogScope log;
    const size_t got = guarded(Errc::decode, model_->path(), [&] {
        apply_pending(context_.get());
        taken.blob.resize(llama_state_seq_get_size(context_.get(), slot.seq()));
        return llama_state_seq_get_data(context_.get(), taken.blob.data(), taken.blob.size(), slot.seq());
    });
    if (got == 0 || got != taken.blob.size()) {
        throw Error(Errc::decode, "llama.cpp does not give the state of a sequence: " + log.reason(), model_->path());
    }
    return taken;
}

StateWriter Engine::writer(std::vector<TakenState> taken, std::string note) {
    const StateIdentity own = identity();
    return {own, std::move(note), std::move(taken), shape_of(*model_, own)};
}

StateWriter Engine::save(uint64_t session, std::string note) {
    auto done = commands_.post([this, session] {
        std::vector<TakenState> taken;
        taken.push_back(take_state(quiet_slot(session)));
        return taken;
    });
    mailbox_->wake();
    return writer(done.get(), std::move(note));
}

// One sequence between two steps each, so that running requests go on meanwhile.
StateWriter Engine::save_idle(std::string note) {
    check_memory();
    std::vector<TakenState> taken;
    for (size_t i = 0; i < slots_.size(); ++i) {
        auto done = commands_.post([this, i]() -> std::optional<TakenState> {
            const Slot & slot = slots_[i];
            const bool worth = slot.idle() && slot.trace().shared_rows() > 0 && !changes_adapters(slot);
            return worth ? std::optional(take_state(slot)) : std::nullopt;
        });
        mailbox_->wake();
        if (auto one = done.get()) {
            taken.push_back(std::move(*one));
        }
    }
    std::sort(taken.begin(), taken.end(),
              [](const TakenState & a, const TakenState & b) { return a.last_used > b.last_used; });
    return writer(std::move(taken), std::move(note));
}

// Everything was checked; what llama.cpp still refuses leaves the sequence empty.
void Engine::put_state(Slot & slot, const SavedSequence & saved, const std::vector<uint8_t> & blob,
                       std::shared_ptr<const AdapterSet> adapters) {
    forget(slot);
    if (saved.trace.rows() > 0) {
        const LogScope log;
        size_t taken = 0;
        try {
            taken = guarded(Errc::state, model_->path(), [&] {
                apply_pending(context_.get()); // a copy into this sequence would undo what follows
                return llama_state_seq_set_data(context_.get(), blob.data(), blob.size(), slot.seq());
            });
        } catch (const Error &) {
            forget(slot);
            throw;
        }
        if (taken != blob.size()) {
            forget(slot);
            throw Error(Errc::state, "llama.cpp refuses it: " + log.reason(), {}, "The file is damaged or was made up");
        }
    }
    slot.holds(saved.trace, {nullptr, std::move(adapters), 0}, ++clock_);
}

uint64_t Engine::restore(const SavedState & saved, const std::shared_ptr<const AdapterSet> & adapters) {
    return naming(saved.where, [&] { return restore_one(saved, adapters); });
}

int32_t Engine::restore_all(const SavedState & saved, const std::vector<std::shared_ptr<const AdapterSet>> & adapters) {
    return naming(saved.where, [&] { return restore_idle(saved, adapters); });
}

uint64_t Engine::restore_one(const SavedState & saved, const std::shared_ptr<const AdapterSet> & adapters) {
    check_memory();
    const StateIdentity own = identity();
    check_identity(saved, own);
    if (saved.sequences.size() != 1) {
        throw Error(Errc::state, "it holds " + std::to_string(saved.sequences.size()) + " sequences", {},
                    "Engine.load takes what Engine.save wrote");
    }
    const SavedSequence & sequence = saved.sequences[0];
    if (adapters) {
        adapters->check(*model_);
    }
    if (mark_of(adapters.get()) != sequence.adapters) {
        throw Error(Errc::state, "it was evaluated with other adapters", {},
                    sequence.adapters == AdapterMark{} ? "Load it without adapters"
                                                       : "Give the adapters, with their scales, that it was evaluated with");
    }
    check_sequence(sequence, *model_, shape_of(*model_, own), n_ctx_);
    const auto blob = blob_of_parts(sequence.parts, static_cast<uint32_t>(params_.n_parallel));
    auto done = commands_.post([&] {
        Slot & slot = reserve();
        try {
            put_state(slot, sequence, blob, adapters);
            slot.trace().keep_private();
        } catch (const Error &) {
            const std::lock_guard lock(queue_mutex_);
            sessions_.erase(slot.session());
            slot.set_session(0);
            throw;
        }
        return slot.session();
    });
    mailbox_->wake();
    return done.get();
}

int32_t Engine::restore_idle(const SavedState & saved, const std::vector<std::shared_ptr<const AdapterSet>> & adapters) {
    check_memory();
    const StateIdentity own = identity();
    check_identity(saved, own);
    const KvShape shape = shape_of(*model_, own);
    std::vector<std::shared_ptr<const AdapterSet>> sets;
    for (const SavedSequence & sequence : saved.sequences) {
        std::shared_ptr<const AdapterSet> set;
        for (const auto & candidate : adapters) {
            set = mark_of(candidate.get()) == sequence.adapters ? candidate : set;
        }
        if (!set && sequence.adapters != AdapterMark{}) {
            throw Error(Errc::state, "a sequence in it was evaluated with adapters that are not given", {},
                        "Give every set of adapters that it was evaluated with");
        }
        if (set) {
            set->check(*model_);
        }
        check_sequence(sequence, *model_, shape, n_ctx_);
        sets.push_back(std::move(set));
    }
    std::vector<std::vector<uint8_t>> blobs;
    for (const SavedSequence & sequence : saved.sequences) {
        blobs.push_back(blob_of_parts(sequence.parts, static_cast<uint32_t>(params_.n_parallel)));
    }
    auto done = commands_.post([&] {
        std::vector<Slot *> free;
        for (Slot & slot : slots_) {
            if (slot.idle() && slot.session() == 0) {
                free.push_back(&slot);
            }
        }
        std::sort(free.begin(), free.end(), [](const Slot * a, const Slot * b) { return a->last_used() < b->last_used(); });
        const size_t count = std::min(free.size(), blobs.size());
        for (size_t i = count; i-- > 0;) { // the freshest last, so that it is the freshest here
            put_state(*free[i], saved.sequences[i], blobs[i], sets[i]);
        }
        return static_cast<int32_t>(count);
    });
    mailbox_->wake();
    return done.get();
}

} // namespace mullama
