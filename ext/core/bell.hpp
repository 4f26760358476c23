// Tells an event loop that streams have news: a file descriptor that becomes readable.
#pragma once

#include "shared.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace mullama {

// Every method is thread-safe and none blocks. Linux: an eventfd; other POSIX systems: a pipe.
class Bell : public Shared<Bell> {
  public:
    Bell(); // throws Error(decode) when the process has no file descriptor left
    ~Bell();
    Bell(const Bell &) = delete;
    Bell & operator=(const Bell &) = delete;

    int fd() const { return read_; }

    // Engine side: a stream has news; heard after ring(), of which one a step is enough.
    void add(uint64_t id);
    void ring();

    // Reader side: what was added, and silence until there is more. May come back empty.
    std::vector<uint64_t> take();

  private:
    int read_ = -1;
    int write_ = -1; // the same for an eventfd
    std::mutex mutex_;
    std::vector<uint64_t> ids_;
    bool rung_ = false; // and not taken yet
};

} // namespace mullama
