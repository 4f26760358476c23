#include "check.hpp"
#include "bell.hpp"
#include "stream.hpp"

#include <algorithm>
#include <thread>

#include <poll.h>

using namespace mullama;
using namespace std::chrono_literals;

TEST(events_arrive_in_order_and_the_end_comes_last) {
    auto mailbox = std::make_shared<Mailbox>();
    Stream stream(1, 4, mailbox);
    std::thread engine([&] {
        for (int i = 0; i < 1000; ++i) {
            while (!stream.has_room()) {
                mailbox->wait_for_work(100ms);
            }
            stream.push({i, "x", std::nullopt});
        }
        Terminal terminal;
        terminal.finish = Finish::length;
        stream.finish(terminal);
        terminal.finish = Finish::error;
        stream.finish(terminal); // a second end is ignored
    });
    int expected = 0;
    while (!stream.terminal()) {
        if (!stream.wait(2s)) {
            break;
        }
        const auto events = stream.take();
        CHECK(events.size() <= 4);
        for (const TokenEvent & event : events) {
            CHECK(event.token == expected++);
        }
    }
    engine.join();
    CHECK(expected == 1000);
    CHECK(stream.terminal()->finish == Finish::length);
}

TEST(the_end_is_not_seen_before_the_last_event) {
    Stream stream(1, 4, std::make_shared<Mailbox>());
    stream.push({7, "x", std::nullopt});
    stream.finish({});
    CHECK(!stream.terminal());
    CHECK(stream.take().size() == 1);
    CHECK(stream.terminal().has_value());
}

TEST(a_full_stream_says_so_until_it_is_read) {
    Stream stream(1, 2, std::make_shared<Mailbox>());
    stream.push({1, "", std::nullopt});
    CHECK(stream.has_room());
    stream.push({2, "", std::nullopt});
    CHECK(!stream.has_room());
    CHECK(stream.take().size() == 2);
    CHECK(stream.has_room());
}

TEST(a_bell_hands_over_every_id_and_is_readable_until_then) {
    Bell bell;
    const auto readable = [&](int ms) {
        pollfd what{bell.fd(), POLLIN, 0};
        return poll(&what, 1, ms) == 1;
    };
    bell.add(1);
    CHECK(!readable(0)); // not before it rings
    bell.ring();
    bell.ring();
    CHECK(readable(0));
    CHECK(bell.take() == std::vector<uint64_t>{1});
    CHECK(!readable(0));
    std::thread engine([&] {
        for (uint64_t id = 0; id < 20000; ++id) {
            bell.add(id);
            bell.ring();
        }
    });
    std::vector<uint64_t> all;
    while (all.size() < 20000 && readable(2000)) {
        const auto ids = bell.take();
        all.insert(all.end(), ids.begin(), ids.end());
    }
    engine.join();
    CHECK(all.size() == 20000);
    CHECK(std::is_sorted(all.begin(), all.end()));
    CHECK(bell.take().empty());
}
