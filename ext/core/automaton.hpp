// A grammar as a machine over bytes that decides, byte by byte, what may come next.
//
// Each rule is a small nondeterministic automaton; a call of another rule pushes a frame. All ways
// to read the text so far are followed at once, with equal frames merged, so that an ambiguous
// grammar costs polynomial, not exponential, time. Sets of ways are interned as states and their
// transitions remembered: text of a kind that was seen before costs a table look-up a byte.
#pragma once

#include "gbnf.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mullama {

// The rules, compiled. Immutable.
class Program {
  public:
    enum class Op : uint8_t { bytes, split, call, token, end };
    struct State {
        Op op = Op::end;
        int32_t a = 0; // bytes: first edge; split: one way; call: rule; token: index
        int32_t b = 0; // bytes: end of edges; split: other way; call, token: what follows
    };
    struct Edge {
        uint8_t low;
        uint8_t high;
        int32_t to;
    };
    struct Token {
        std::string name; // "<text>" or "[id]"
        bool negated;
        bool operator<(const Token & other) const {
            return std::tie(name, negated) < std::tie(other.name, other.negated);
        }
    };

    explicit Program(const GbnfRules & rules); // throws Error(grammar) when it grows too large

    const State & state(int32_t i) const { return states_[static_cast<size_t>(i)]; }
    const Edge & edge(int32_t i) const { return edges_[static_cast<size_t>(i)]; }
    int32_t entry(int32_t rule) const { return entries_[static_cast<size_t>(rule)]; }
    int32_t root() const { return root_; }
    const std::vector<Token> & tokens() const { return tokens_; }

  private:
    int32_t add(State state);
    int32_t emit(const GbnfNode & node, int32_t next);
    int32_t emit_chars(const CharRanges & ranges, int32_t next);
    int32_t emit_edges(std::vector<Edge> edges);

    std::vector<State> states_;
    std::vector<Edge> edges_;
    std::vector<int32_t> entries_;
    std::vector<Token> tokens_;
    int32_t root_ = 0;
};

// The states met so far. Not thread-safe: its Grammar guards it.
class Automaton {
  public:
    static constexpr int32_t dead = 0;
    static constexpr int32_t start = 1;

    explicit Automaton(std::shared_ptr<const Program> program);

    int32_t step(int32_t state, uint8_t byte);               // dead when nothing can follow
    int32_t step_token(int32_t state, int32_t index);        // index into Program::tokens()
    int32_t join(int32_t a, int32_t b);                      // both ways at once
    int32_t read(int32_t state, std::string_view bytes);
    bool complete(int32_t state) const { return at(state).complete; } // the text may end here
    bool leaf(int32_t state) const { return at(state).threads.empty(); } // nothing may follow
    std::vector<int32_t> tokens(int32_t state) const; // indexes of tokens that may follow

    // So many states that a fresh automaton is better; a state moves over with adopt().
    bool full() const;
    int32_t adopt(const Automaton & other, int32_t state);

    // Every call above throws Error(grammar) when one step follows more ways than this allows.
    void begin_work() { work_ = 0; }

  private:
    using Thread = std::pair<int32_t, int32_t>; // program state, frame
    using Frame = std::vector<Thread>;          // where to go on when a rule ends; {-1, 0}: the end of all
    struct State {
        std::vector<Thread> threads; // at bytes and token states, sorted
        bool complete = false;
        std::vector<std::pair<uint8_t, int32_t>> few;       // transitions while they are few
        std::unique_ptr<std::array<int32_t, 256>> many;     // -1: not known yet
    };
    class Closure;

    const State & at(int32_t state) const { return states_[static_cast<size_t>(state)]; }
    int32_t intern(std::vector<Thread> threads, bool complete);
    int32_t intern_frame(Frame frame);
    int32_t known(const State & state, uint8_t byte) const;
    void remember(int32_t state, uint8_t byte, int32_t next);
    void work(size_t amount);

    std::shared_ptr<const Program> program_;
    std::vector<State> states_;
    std::vector<Frame> frames_;
    std::map<std::pair<std::vector<Thread>, bool>, int32_t> state_ids_;
    std::map<Frame, int32_t> frame_ids_;
    size_t stored_ = 0; // threads and frame entries
    size_t work_ = 0;
};

} // namespace mullama
