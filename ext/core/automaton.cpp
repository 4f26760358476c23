#include "automaton.hpp"

#include <algorithm>
#include <limits>

namespace mullama {

namespace {

constexpr size_t most_work = 20'000'000; // ways followed for one token, about a second
constexpr size_t most_states = 50'000;
constexpr size_t most_stored = 8'000'000;
constexpr int32_t end_of_all = -1; // in a frame: the root rule has ended
constexpr int32_t tail = -2;       // in a local frame: go on where that frame goes on
constexpr size_t few_transitions = 8;

} // namespace

// Follows everything that reads nothing (splits, calls, ends of rules) from a set of threads.
// Frames made on the way are local (negative) until all their ways on are known.
class Automaton::Closure {
  public:
    explicit Closure(Automaton & owner) : owner_(owner), program_(*owner.program_) {}

    void push(int32_t state, int32_t frame) {
        if (seen_.emplace((static_cast<uint64_t>(static_cast<uint32_t>(state)) << 32U) | static_cast<uint32_t>(frame), true)
                .second) {
            todo_.emplace_back(state, frame);
        }
    }

    int32_t finish() {
        while (!todo_.empty()) {
            owner_.work(1);
            const auto [index, frame] = todo_.back();
            todo_.pop_back();
            const Program::State & state = program_.state(index);
            switch (state.op) {
                case Program::Op::split:
                    push(state.a, frame);
                    push(state.b, frame);
                    break;
                case Program::Op::call: call(state.a, state.b, frame); break;
                case Program::Op::end: pop(frame); break;
                default: threads_.emplace_back(index, frame); break;
            }
        }
        for (Thread & thread : threads_) {
            thread.second = canonical(thread.second);
        }
        return owner_.intern(std::move(threads_), complete_);
    }

  private:
    struct Local {
        Frame ways;
        bool popped = false;
        int32_t canonical = -1;
    };

    Local & local(int32_t frame) { return locals_[static_cast<size_t>(-frame) - 1]; }

    void call(int32_t rule, int32_t next, int32_t frame) {
        auto [entry, added] = by_rule_.try_emplace(rule, 0);
        if (added) {
            locals_.emplace_back();
            entry->second = -static_cast<int32_t>(locals_.size());
            push(program_.entry(rule), entry->second);
        }
        Local & callee = local(entry->second);
        const bool last = program_.state(next).op == Program::Op::end;
        const Thread way = last ? Thread{tail, frame} : Thread{next, frame};
        owner_.work(1);
        callee.ways.push_back(way); // each call is seen once for a frame, so it is new
        if (callee.popped) {
            resume(way);
        }
    }

    void resume(Thread way) {
        if (way.first == end_of_all) {
            complete_ = true;
        } else if (way.first == tail) {
            push(end_state, way.second);
        } else {
            push(way.first, way.second);
        }
    }

    void pop(int32_t frame) {
        if (frame < 0) {
            local(frame).popped = true;
        }
        const Frame & ways = frame < 0 ? local(frame).ways : owner_.frames_[static_cast<size_t>(frame)];
        for (const Thread & way : ways) {
            owner_.work(1);
            resume(way);
        }
    }

    // No rule begins with itself, so local frames refer to each other without cycles.
    int32_t canonical(int32_t frame) {
        if (frame >= 0) {
            return frame;
        }
        if (local(frame).canonical < 0) {
            Frame ways;
            for (const Thread & way : local(frame).ways) {
                const int32_t to = canonical(way.second);
                if (way.first == tail) {
                    const Frame & on = owner_.frames_[static_cast<size_t>(to)];
                    ways.insert(ways.end(), on.begin(), on.end());
                } else {
                    ways.emplace_back(way.first, to);
                }
                owner_.work(1);
            }
            std::sort(ways.begin(), ways.end());
            ways.erase(std::unique(ways.begin(), ways.end()), ways.end());
            local(frame).canonical = owner_.intern_frame(std::move(ways));
        }
        return local(frame).canonical;
    }

    static constexpr int32_t end_state = 0; // Program makes it first

    Automaton & owner_;
    const Program & program_;
    std::vector<Thread> todo_;
    std::unordered_map<uint64_t, bool> seen_;
    std::unordered_map<int32_t, int32_t> by_rule_;
    std::vector<Local> locals_;
    std::vector<Thread> threads_;
    bool complete_ = false;
};

Automaton::Automaton(std::shared_ptr<const Program> program) : program_(std::move(program)) {
    intern({}, false); // dead
    frames_.push_back({{end_of_all, 0}});
    frame_ids_[frames_[0]] = 0;
    Closure closure(*this);
    closure.push(program_->entry(program_->root()), 0);
    closure.finish(); // never dead: every rule can end
}

void Automaton::work(size_t amount) {
    work_ += amount;
    if (work_ > most_work) {
        throw Error(Errc::grammar, "the grammar is too ambiguous: one token can be read in too many ways", {},
                    "Give the same text fewer ways to match");
    }
}

int32_t Automaton::intern(std::vector<Thread> threads, bool complete) {
    std::sort(threads.begin(), threads.end());
    threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
    work(threads.size());
    const auto [entry, added] =
        state_ids_.try_emplace({std::move(threads), complete}, static_cast<int32_t>(states_.size()));
    if (added) {
        State state;
        state.threads = entry->first.first;
        state.complete = complete;
        stored_ += 2 * state.threads.size() + 16;
        states_.push_back(std::move(state));
    }
    return entry->second;
}

int32_t Automaton::intern_frame(Frame frame) {
    const auto [entry, added] = frame_ids_.try_emplace(std::move(frame), static_cast<int32_t>(frames_.size()));
    if (added) {
        frames_.push_back(entry->first);
        stored_ += 2 * entry->first.size() + 8;
    }
    return entry->second;
}

int32_t Automaton::known(const State & state, uint8_t byte) const {
    if (state.many) {
        return (*state.many)[byte];
    }
    for (const auto & [seen, next] : state.few) {
        if (seen == byte) {
            return next;
        }
    }
    return -1;
}

void Automaton::remember(int32_t index, uint8_t byte, int32_t next) {
    State & state = states_[static_cast<size_t>(index)];
    if (!state.many && state.few.size() < few_transitions) {
        state.few.emplace_back(byte, next);
        return;
    }
    if (!state.many) {
        state.many = std::make_unique<std::array<int32_t, 256>>();
        state.many->fill(-1);
        for (const auto & [seen, to] : state.few) {
            (*state.many)[seen] = to;
        }
        state.few.clear();
        stored_ += 128;
    }
    (*state.many)[byte] = next;
}

int32_t Automaton::step(int32_t state, uint8_t byte) {
    if (state == dead) {
        return dead;
    }
    int32_t next = known(at(state), byte);
    if (next >= 0) {
        return next;
    }
    Closure closure(*this);
    for (const auto & [index, frame] : at(state).threads) {
        const Program::State & from = program_->state(index);
        work(1);
        if (from.op != Program::Op::bytes) {
            continue;
        }
        for (int32_t i = from.a; i < from.b; ++i) {
            const Program::Edge & edge = program_->edge(i);
            if (edge.low <= byte && byte <= edge.high) {
                closure.push(edge.to, frame);
            }
        }
    }
    next = closure.finish();
    remember(state, byte, next);
    return next;
}

int32_t Automaton::step_token(int32_t state, int32_t token) {
    Closure closure(*this);
    for (const auto & [index, frame] : at(state).threads) {
        const Program::State & from = program_->state(index);
        if (from.op == Program::Op::token && from.a == token) {
            closure.push(from.b, frame);
        }
    }
    return closure.finish();
}

int32_t Automaton::join(int32_t a, int32_t b) {
    if (a == b || b == dead) {
        return a;
    }
    if (a == dead) {
        return b;
    }
    std::vector<Thread> threads = at(a).threads;
    threads.insert(threads.end(), at(b).threads.begin(), at(b).threads.end());
    return intern(std::move(threads), at(a).complete || at(b).complete);
}

int32_t Automaton::read(int32_t state, std::string_view bytes) {
    for (const char byte : bytes) {
        state = step(state, static_cast<uint8_t>(byte));
        if (state == dead) {
            break;
        }
    }
    return state;
}

std::vector<int32_t> Automaton::tokens(int32_t state) const {
    std::vector<int32_t> out;
    if (program_->tokens().empty()) {
        return out;
    }
    for (const auto & thread : at(state).threads) {
        const Program::State & from = program_->state(thread.first);
        if (from.op == Program::Op::token && std::find(out.begin(), out.end(), from.a) == out.end()) {
            out.push_back(from.a);
        }
    }
    return out;
}

bool Automaton::full() const { return states_.size() > most_states || stored_ > most_stored; }

int32_t Automaton::adopt(const Automaton & other, int32_t state) {
    // A frame refers to older ones only, so the oldest goes first.
    std::map<int32_t, int32_t> moved;
    std::vector<int32_t> todo;
    const auto want = [&](const Thread & thread) {
        if (moved.try_emplace(thread.second, -1).second) {
            todo.push_back(thread.second);
        }
    };
    for (const Thread & thread : other.at(state).threads) {
        want(thread);
    }
    while (!todo.empty()) {
        const int32_t frame = todo.back();
        todo.pop_back();
        for (const Thread & way : other.frames_[static_cast<size_t>(frame)]) {
            want(way);
        }
    }
    for (auto & [from, to] : moved) {
        Frame frame = other.frames_[static_cast<size_t>(from)];
        for (Thread & way : frame) {
            way.second = way.first == end_of_all ? 0 : moved.at(way.second);
        }
        to = intern_frame(std::move(frame));
    }
    std::vector<Thread> threads = other.at(state).threads;
    for (Thread & thread : threads) {
        thread.second = moved.at(thread.second);
    }
    return intern(std::move(threads), other.at(state).complete);
}

} // namespace mullama
