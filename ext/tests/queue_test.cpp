#include "check.hpp"
#include "queue.hpp"

using namespace mullama;

namespace {

std::unique_ptr<Request> request(const std::string & client, int32_t priority, int32_t number) {
    auto out = std::make_unique<Request>();
    out->limits.client = client;
    out->limits.priority = priority;
    out->limits.max_tokens = number;
    return out;
}

int32_t next(Queue & queue) {
    const auto taken = queue.take([](const Request &) { return true; });
    return taken ? taken->limits.max_tokens : -1;
}

} // namespace

TEST(one_client_is_served_in_order) {
    Queue queue(8);
    for (const int32_t number : {1, 2, 3}) {
        queue.push(request("", 0, number));
    }
    CHECK(next(queue) == 1 && next(queue) == 2 && next(queue) == 3 && next(queue) == -1);
}

TEST(a_higher_priority_goes_first) {
    Queue queue(8);
    queue.push(request("", 0, 1));
    queue.push(request("", 5, 2));
    queue.push(request("", 5, 3));
    queue.push(request("", -1, 4));
    CHECK(next(queue) == 2 && next(queue) == 3 && next(queue) == 1 && next(queue) == 4);
}

TEST(a_client_with_many_requests_does_not_starve_another) {
    Queue queue(16);
    for (const int32_t number : {1, 2, 3}) {
        queue.push(request("many", 0, number));
    }
    queue.push(request("few", 0, 10));
    CHECK(next(queue) == 1);
    queue.charge("many", 100);
    CHECK(next(queue) == 10);
    queue.charge("few", 150);
    CHECK(next(queue) == 2);
}

TEST(who_was_away_saved_nothing_up) {
    Queue queue(16);
    queue.push(request("busy", 0, 1));
    queue.charge("busy", 1000);
    queue.push(request("new", 0, 2)); // starts level with the busy one
    queue.charge("new", 1);
    CHECK(next(queue) == 1);
}

TEST(what_is_not_admissible_is_passed_over) {
    Queue queue(4);
    queue.push(request("", 0, 1));
    queue.push(request("", 0, 2));
    const auto taken = queue.take([](const Request & r) { return r.limits.max_tokens != 1; });
    CHECK(taken && taken->limits.max_tokens == 2);
    CHECK(queue.size() == 1);
    CHECK(!queue.take([](const Request &) { return false; }));
    CHECK(queue.take_if([](const Request &) { return true; }).size() == 1 && queue.empty());
}

TEST(the_queue_is_bounded) {
    Queue queue(1);
    CHECK(!queue.full());
    queue.push(request("", 0, 1));
    CHECK(queue.full());
}
