// Requests that wait for a sequence: bounded, by priority, fair among clients.
#pragma once

#include "request.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mullama {

// Not thread-safe: the engine guards it.
class Queue {
  public:
    explicit Queue(size_t capacity) : capacity_(capacity) {}

    size_t room() const { return capacity_ - waiting_.size(); }
    bool full() const { return room() == 0; }
    bool empty() const { return waiting_.empty(); }
    size_t size() const { return waiting_.size(); }

    void push(std::unique_ptr<Request> request);
    bool any(const std::function<bool(const Request &)> & wanted) const;

    // The next request in order that `admissible` accepts, or null. Order: higher priority first;
    // within one, the client that was given the fewest tokens so far; within that, first come.
    std::unique_ptr<Request> take(const std::function<bool(const Request &)> & admissible);

    // Takes out every request that `unwanted` accepts.
    std::vector<std::unique_ptr<Request>> take_if(const std::function<bool(const Request &)> & unwanted);

    Clock::time_point deadline() const; // the earliest; Clock::time_point::max() without one

    // Tokens were evaluated for this client.
    void charge(const std::string & client, uint64_t tokens);

  private:
    const size_t capacity_;
    std::deque<std::unique_ptr<Request>> waiting_;
    std::map<std::string, uint64_t> spent_; // tokens by client; a newcomer starts at the least of those waiting
};

} // namespace mullama
