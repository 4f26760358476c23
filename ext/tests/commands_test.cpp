#include "check.hpp"
#include "commands.hpp"

#include <string>
#include <vector>

using namespace mullama;

namespace {

template <class F> std::string error_of(F && fn) {
    try {
        fn();
    } catch (const Error & error) {
        return error.what();
    }
    return "";
}

} // namespace

TEST(commands_run_in_order_and_give_their_results) {
    Commands commands;
    std::vector<int> order;
    auto first = commands.post([&] {
        order.push_back(1);
        return std::string("one");
    });
    auto second = commands.post([&] { order.push_back(2); });
    auto third = commands.post([]() -> int { throw Error(Errc::session, "no"); });
    CHECK(order.empty());
    for (const auto & command : commands.take()) {
        command->run();
    }
    CHECK((order == std::vector<int>{1, 2}));
    CHECK(first.get() == "one");
    second.get();
    CHECK(error_of([&] { third.get(); }) == "no");
    CHECK(commands.take().empty());
}

TEST(closed_commands_fail_those_that_wait_and_those_that_come) {
    Commands commands;
    auto waiting = commands.post([] { return 1; });
    commands.close(Error(Errc::engine_closed, "first"));
    commands.close(Error(Errc::engine_closed, "second"));
    CHECK(error_of([&] { waiting.get(); }) == "first");
    CHECK(error_of([&] { commands.post([] { return 2; }); }) == "first");
    CHECK(commands.take().empty());
}
