// Sequences of an engine as bytes and files (docs/state.md describes the format).
#pragma once

#include "adapter.hpp"
#include "context_internals.hpp"
#include "kv_blob.hpp"
#include "trace.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mullama {

// What must agree between the engine that saved and the one that loads.
struct StateIdentity {
    std::string model_name; // for people
    std::string model;      // fingerprint
    std::string media;      // of the mmproj; empty: none
    std::string type_k;
    std::string type_v;
    CacheSettings settings;
};

// The adapters that a cache was evaluated with, by what is in them.
struct AdapterMark {
    std::vector<std::pair<std::string, float>> loras; // fingerprint of the file, scale
    std::string control;                              // digest of the values; empty: none

    bool operator==(const AdapterMark &) const = default;
};
AdapterMark mark_of(const AdapterSet * adapters); // null: none. Throws Error(state).

struct SavedSequence {
    Trace trace;
    AdapterMark adapters;
    std::vector<KvPart> parts; // views of bytes held elsewhere; none for an empty sequence
};

struct SavedState {
    StateIdentity identity;
    std::string note; // the application's
    std::vector<SavedSequence> sequences;
    std::shared_ptr<const std::vector<uint8_t>> bytes; // what the parts are views of
    std::string where;                                 // the file; empty: none
};

// Puts the name of the file into errors that have none.
template <class F> auto naming(const std::string & where, F && fn) {
    try {
        return fn();
    } catch (Error & error) {
        error.where = error.where.empty() ? where : error.where;
        throw;
    }
}

// Throws Error(state) for what is foreign, damaged, truncated, or written by another version. Nothing
// is believed: what it says must fit together, but not yet an engine.
SavedState read_state(std::shared_ptr<const std::vector<uint8_t>> bytes, const std::string & where);
std::shared_ptr<const std::vector<uint8_t>> read_bytes(const std::string & path); // throws Error(state)

// Throws Error(state), saying what differs and what to do.
void check_identity(const SavedState & saved, const StateIdentity & mine);

// A sequence that was taken from an engine.
struct TakenState {
    Trace trace;
    std::shared_ptr<const AdapterSet> adapters;
    std::vector<uint8_t> blob;
    uint64_t last_used = 0;
};

// What save() gives: everything is copied, the engine goes on. For one thread.
class StateWriter {
  public:
    // Throws Error(model_capability | state).
    StateWriter(StateIdentity identity, std::string note, std::vector<TakenState> taken, const KvShape & shape);
    StateWriter(StateWriter &&) = default;
    StateWriter & operator=(StateWriter &&) = delete;

    size_t sequences() const { return saved_.sequences.size(); }
    std::vector<uint8_t> bytes() const;
    void write(const std::string & path) const; // whole or not at all; throws Error(state)

  private:
    void write(const std::function<void(const void *, size_t)> & sink, uint64_t size) const;
    uint64_t size() const;

    std::vector<TakenState> taken_;
    SavedState saved_;
};

// For the fuzzer and the tests: the checksum at the end of such bytes, made anew.
void sign_state(std::vector<uint8_t> & bytes);

} // namespace mullama
