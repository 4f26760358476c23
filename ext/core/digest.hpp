// Digests of files and models: to tell damage and mistakes, not to withstand an attacker.
#pragma once

#include "model.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace mullama {

// XXH3, 128 bits: several GB/s, where SHA-256 would take longer than writing the file. Whoever can
// change a file can sign it anew under either, so what a file says is checked all the same.
class Digest {
  public:
    static constexpr size_t size = 16;

    Digest();
    ~Digest();
    Digest(const Digest &) = delete;
    Digest & operator=(const Digest &) = delete;

    void add(const void * data, size_t n_bytes);
    void add(const std::string & text); // and its length, so that neighbours do not run together
    std::array<uint8_t, size> bytes() const; // big endian, as xxhsum writes it
    std::string hex() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Of the file's length, its first MiB and 256 places of 4 KiB all over it, so that a model of any size
// takes a few milliseconds. Throws Error(state).
std::string file_fingerprint(const std::string & path);

// Of its first file, its metadata with what the caller put in their place, and the list of its tensors.
std::string model_fingerprint(const Model & model);

} // namespace mullama
