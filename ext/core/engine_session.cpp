// Sequences by hand: reserving one, and what may be done to its cache.
#include "engine.hpp"

#include "guard.hpp"

#include <algorithm>

namespace mullama {

namespace {

Error busy() {
    return {Errc::session, "a request waits or runs in this session", {},
            "Read its stream to the end, or cancel it, before changing or saving the session"};
}

} // namespace

void Engine::check_session(uint64_t session) const {
    if (session != 0 && !sessions_.contains(session)) {
        throw Error(Errc::session, "the session is closed", {}, "Open a new one");
    }
    if (session == 0 && static_cast<int32_t>(sessions_.size()) == params_.n_parallel) {
        throw Error(Errc::overloaded, "a session has reserved the only sequence", "n_parallel",
                    "Close the session, submit the request there, or make the engine with a larger n_parallel");
    }
}

void Engine::check_memory() const {
    if (encoder_only_) {
        throw Error(Errc::model_capability, "it is an encoder: nothing of a text is kept", model_->path());
    }
}

bool Engine::open_to(const Slot & slot, const Request & request) const {
    return slot.idle() && slot.session() == request.session;
}

uint64_t Engine::open_session() {
    check_memory();
    auto done = commands_.post([this] {
        Slot & slot = reserve();
        forget(slot);
        return slot.session();
    });
    mailbox_->wake();
    return done.get();
}

Slot * Engine::reservable() {
    const auto worth = [](const Slot & slot) { return std::pair(slot.trace().rows() > 0, slot.last_used()); };
    Slot * best = nullptr;
    for (Slot & slot : slots_) {
        if (slot.idle() && slot.session() == 0 && (best == nullptr || worth(slot) < worth(*best))) {
            best = &slot;
        }
    }
    return best;
}

// The last sequence is left to requests outside sessions, unless there is only one.
Slot & Engine::reserve() {
    Slot * slot = reservable();
    const std::lock_guard lock(queue_mutex_);
    const bool last = static_cast<int32_t>(sessions_.size()) + 1 == params_.n_parallel;
    if (last && params_.n_parallel > 1) {
        throw Error(Errc::overloaded, std::to_string(sessions_.size()) + " sessions are open and the last sequence is for requests",
                    "n_parallel", "Close a session, or make the engine with a larger n_parallel");
    }
    if (slot == nullptr || (last && queue_.any([](const Request & request) { return request.session == 0; }))) {
        throw Error(Errc::overloaded, "requests wait or run in every sequence", "n_parallel",
                    "Try again later, or make the engine with a larger n_parallel");
    }
    slot->set_session(next_session_++);
    sessions_.insert(slot->session());
    return *slot;
}

void Engine::close_session(uint64_t session, bool wait) {
    std::future<void> done;
    try {
        done = commands_.post([this, session] {
            const auto found = std::find_if(slots_.begin(), slots_.end(),
                                            [session](const Slot & slot) { return slot.session() == session; });
            if (found == slots_.end()) {
                return;
            }
            if (!found->idle()) {
                end(*found, Finish::cancelled);
            }
            std::vector<std::unique_ptr<Request>> left;
            {
                const std::lock_guard lock(queue_mutex_);
                left = queue_.take_if([session](const Request & request) { return request.session == session; });
                sessions_.erase(session);
            }
            for (auto & request : left) {
                end(std::move(request), Finish::cancelled);
            }
            found->set_session(0);
        });
    } catch (const Error &) {
        return; // the engine is closed, and its sessions with it
    }
    mailbox_->wake();
    if (wait) {
        try {
            done.get();
        } catch (const Error &) {
            return; // likewise
        }
    }
}

Slot & Engine::session_slot(uint64_t session) {
    for (Slot & slot : slots_) {
        if (slot.session() == session) {
            return slot;
        }
    }
    throw Error(Errc::session, "the session is closed", {}, "Open a new one");
}

Slot & Engine::quiet_slot(uint64_t session) {
    Slot & slot = session_slot(session);
    const std::lock_guard lock(queue_mutex_);
    if (!slot.idle() || queue_.any([session](const Request & request) { return request.session == session; })) {
        throw busy();
    }
    return slot;
}

Trace Engine::describe(uint64_t session) {
    auto done = commands_.post([this, session] { return session_slot(session).trace(); });
    mailbox_->wake();
    return done.get();
}

void Engine::forget(Slot & slot) {
    llama_memory_seq_rm(llama_get_memory(context_.get()), slot.seq(), -1, -1); // never refused for a whole sequence
    if (speculation_) {
        speculation_->keep_until(slot.seq(), 0);
    }
    slot.trace().clear();
}

void Engine::check_cut(const Slot & slot, int32_t from, int32_t to, bool close_gap) const {
    const int32_t rows = slot.trace().rows();
    if (from < 0 || to < from || to > rows) {
        throw Error(Errc::invalid_option,
                    "rows " + std::to_string(from) + " to " + std::to_string(to) + " of " + std::to_string(rows), "start, end",
                    "Give 0 <= start <= end <= rows");
    }
    if (from == to || to - from == rows) {
        return;
    }
    if (model_->recurrent()) {
        throw Error(Errc::model_capability, "its memory is recurrent and cannot lose single rows", model_->path(),
                    "Clear the session instead");
    }
    if (close_gap && to < rows && !llama_memory_can_shift(llama_get_memory(context_.get()))) {
        throw Error(Errc::model_capability, "the positions in its cache cannot be moved", model_->path(),
                    "Leave the gap open (close_gap=False)");
    }
    Trace trace = slot.trace();
    int32_t first = from;
    int32_t count = to - from;
    llama_pos position = 0;
    trace.erase(&first, &count, &position);
    if (first != from || count != to - from) {
        throw Error(Errc::invalid_option,
                    "rows " + std::to_string(from) + " to " + std::to_string(to) + " cut a picture or recording", "start, end",
                    "It goes whole or not at all: rows " + std::to_string(first) + " to " + std::to_string(first + count));
    }
}

void Engine::cut(Slot & slot, int32_t from, int32_t to, bool close_gap) {
    const int32_t rows = slot.trace().rows();
    if (from == to) {
        return;
    }
    if (to - from == rows) {
        forget(slot);
        return;
    }
    int32_t first = from;
    int32_t count = to - from;
    llama_pos position = 0;
    const llama_pos gone = slot.trace().erase(&first, &count, &position, close_gap);
    slot.lost(first, count);
    llama_memory_t memory = llama_get_memory(context_.get());
    const bool tail = to == rows;
    guarded(Errc::decode, model_->path(), [&] {
        llama_memory_seq_rm(memory, slot.seq(), position, tail ? -1 : position + gone);
        if (close_gap && !tail) {
            llama_memory_seq_add(memory, slot.seq(), position + gone, -1, -gone);
        }
        return 0;
    });
    if (speculation_ && close_gap && !tail) {
        speculation_->shift(slot.seq(), position, gone);
    } else if (speculation_) {
        speculation_->keep_until(slot.seq(), tail ? position : 0); // a draft model knows no holes
    }
}

void Engine::remove(uint64_t session, int32_t from, std::optional<int32_t> end, bool close_gap) {
    auto done = commands_.post([=, this] {
        Slot & slot = quiet_slot(session);
        const int32_t to = end.value_or(slot.trace().rows());
        check_cut(slot, from, to, close_gap);
        cut(slot, from, to, close_gap);
    });
    mailbox_->wake();
    done.get();
}

void Engine::keep(uint64_t session, int32_t from, std::optional<int32_t> end, bool close_gap) {
    auto done = commands_.post([=, this] {
        Slot & slot = quiet_slot(session);
        const int32_t rows = slot.trace().rows();
        const int32_t to = end.value_or(rows);
        check_cut(slot, from, to, close_gap);
        check_cut(slot, to, rows, close_gap);
        check_cut(slot, 0, from, close_gap && to > from);
        cut(slot, to, rows, close_gap);
        cut(slot, 0, from, close_gap);
    });
    mailbox_->wake();
    done.get();
}

uint64_t Engine::copy_session(uint64_t session) {
    auto done = commands_.post([this, session] {
        Slot & from = quiet_slot(session);
        Slot & to = reserve();
        forget(to);
        if (from.trace().rows() > 0) {
            llama_memory_seq_cp(llama_get_memory(context_.get()), from.seq(), to.seq(), -1, -1);
            if (speculation_) {
                speculation_->copy(from.seq(), to.seq());
            }
        }
        to.holds(from.trace(), from.adapters(), ++clock_);
        return to.session();
    });
    mailbox_->wake();
    return done.get();
}

} // namespace mullama
