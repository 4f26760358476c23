#include "commands.hpp"

namespace mullama {

void Commands::push(std::unique_ptr<Command> command) {
    const std::lock_guard lock(mutex_);
    if (closed_) {
        throw Error(*closed_);
    }
    waiting_.push_back(std::move(command));
}

std::vector<std::unique_ptr<Command>> Commands::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(waiting_, {});
}

void Commands::close(const Error & error) {
    std::vector<std::unique_ptr<Command>> left;
    {
        const std::lock_guard lock(mutex_);
        if (!closed_) {
            closed_ = error;
        }
        left = std::exchange(waiting_, {});
    }
    for (const auto & command : left) {
        command->fail(error);
    }
}

} // namespace mullama
