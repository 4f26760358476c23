// Work that other threads hand to the engine's thread, which does it between two steps.
#pragma once

#include "error.hpp"

#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace mullama {

struct Command {
    std::function<void()> run;                // gives the caller a result, or what was thrown
    std::function<void(const Error &)> fail;  // it will not run
};

// Thread-safe.
class Commands {
  public:
    // Queues `work`; the future has its result. Throws what close() was given.
    template <class F> auto post(F work) -> std::future<std::invoke_result_t<F>> {
        using Result = std::invoke_result_t<F>;
        auto promise = std::make_shared<std::promise<Result>>();
        auto future = promise->get_future();
        auto command = std::make_unique<Command>();
        command->run = [promise, work = std::move(work)]() mutable {
            try {
                if constexpr (std::is_void_v<Result>) {
                    work();
                    promise->set_value();
                } else {
                    promise->set_value(work());
                }
            } catch (...) {
                promise->set_exception(std::current_exception());
            }
        };
        command->fail = [promise](const Error & error) { promise->set_exception(std::make_exception_ptr(error)); };
        push(std::move(command));
        return future;
    }

    // The engine's side.
    std::vector<std::unique_ptr<Command>> take();
    void close(const Error & error); // for those that wait, and for all that come

  private:
    void push(std::unique_ptr<Command> command);

    std::mutex mutex_;
    std::vector<std::unique_ptr<Command>> waiting_;
    std::optional<Error> closed_;
};

} // namespace mullama
