#include "queue.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <tuple>

namespace mullama {

namespace {

constexpr size_t most_clients = 4096; // remembered; beyond that the books start anew

} // namespace

void Queue::push(std::unique_ptr<Request> request) {
    uint64_t least = std::numeric_limits<uint64_t>::max();
    bool waits_already = false;
    for (const auto & other : waiting_) {
        least = std::min(least, spent_[other->limits.client]);
        waits_already = waits_already || other->limits.client == request->limits.client;
    }
    if (spent_.size() > most_clients) {
        spent_.clear();
        least = 0;
    }
    // Who was away saved nothing up: it would starve the others when it comes back.
    uint64_t & spent = spent_[request->limits.client];
    if (!waits_already && !waiting_.empty()) {
        spent = std::max(spent, least);
    }
    waiting_.push_back(std::move(request));
}

bool Queue::any(const std::function<bool(const Request &)> & wanted) const {
    return std::any_of(waiting_.begin(), waiting_.end(), [&](const auto & request) { return wanted(*request); });
}

std::unique_ptr<Request> Queue::take(const std::function<bool(const Request &)> & admissible) {
    auto best = waiting_.end();
    std::tuple<int32_t, uint64_t> best_rank{};
    for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
        const Limits & limits = (*at)->limits;
        const std::tuple<int32_t, uint64_t> rank{-limits.priority, spent_[limits.client]};
        if ((best == waiting_.end() || rank < best_rank) && admissible(**at)) {
            best = at;
            best_rank = rank;
        }
    }
    if (best == waiting_.end()) {
        return nullptr;
    }
    std::unique_ptr<Request> request = std::move(*best);
    waiting_.erase(best);
    return request;
}

std::vector<std::unique_ptr<Request>> Queue::take_if(const std::function<bool(const Request &)> & unwanted) {
    std::vector<std::unique_ptr<Request>> out;
    const auto first = std::stable_partition(waiting_.begin(), waiting_.end(),
                                             [&](const auto & request) { return !unwanted(*request); });
    std::move(first, waiting_.end(), std::back_inserter(out));
    waiting_.erase(first, waiting_.end());
    return out;
}

Clock::time_point Queue::deadline() const {
    auto earliest = Clock::time_point::max();
    for (const auto & request : waiting_) {
        earliest = std::min(earliest, request->deadline());
    }
    return earliest;
}

void Queue::charge(const std::string & client, uint64_t tokens) {
    if (tokens > 0) {
        spent_[client] += tokens;
    }
}

} // namespace mullama
