#include "stream.hpp"

#include <algorithm>

#include <utility>

namespace mullama {

void Mailbox::wait_for_work(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    work_.wait_for(lock, timeout, [this] { return woken_; });
    woken_ = false;
}

void Mailbox::wake() {
    {
        const std::lock_guard lock(mutex_);
        woken_ = true;
    }
    work_.notify_one();
}

Stream::Stream(uint64_t id, size_t capacity, std::shared_ptr<Mailbox> mailbox)
    : id_(id), capacity_(capacity), mailbox_(std::move(mailbox)) {}

size_t Stream::room() const {
    const std::lock_guard lock(mutex_);
    return capacity_ - std::min(capacity_, events_.size());
}

void Stream::push(TokenEvent event) {
    {
        const std::lock_guard lock(mutex_);
        events_.push_back(std::move(event));
    }
    changed_.notify_all();
}

void Stream::finish(Terminal terminal) {
    {
        const std::lock_guard lock(mutex_);
        if (terminal_) {
            return;
        }
        terminal_ = std::move(terminal);
        question_.reset();
    }
    changed_.notify_all();
}

void Stream::echo(std::vector<TokenEvent> prompt) {
    const std::lock_guard lock(mutex_);
    prompt_ = std::move(prompt);
}

std::vector<TokenEvent> Stream::prompt() const {
    const std::lock_guard lock(mutex_);
    return prompt_;
}

void Stream::ask(LogitsQuestion question) {
    {
        const std::lock_guard lock(mutex_);
        question_ = std::move(question);
    }
    changed_.notify_all();
}

std::optional<std::vector<float>> Stream::take_answer() {
    const std::lock_guard lock(mutex_);
    return std::exchange(answer_, std::nullopt);
}

std::optional<LogitsQuestion> Stream::take_question() {
    const std::lock_guard lock(mutex_);
    return std::exchange(question_, std::nullopt);
}

void Stream::answer(std::vector<float> logits) {
    {
        const std::lock_guard lock(mutex_);
        answer_ = std::move(logits);
    }
    mailbox_->wake();
}

void Stream::subscribe(std::shared_ptr<Bell> bell) {
    const std::lock_guard lock(mutex_);
    bell_ = std::move(bell);
    subscribed_.store(true, std::memory_order_release);
}

std::shared_ptr<Bell> Stream::bell() const {
    if (!subscribed_.load(std::memory_order_acquire)) {
        return nullptr;
    }
    const std::lock_guard lock(mutex_);
    return bell_;
}

void Stream::cancel() {
    cancelled_.store(true, std::memory_order_relaxed);
    mailbox_->wake();
}

bool Stream::wait(std::chrono::milliseconds timeout) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [this] { return !events_.empty() || question_ || terminal_; });
}

std::vector<TokenEvent> Stream::take() {
    std::vector<TokenEvent> out;
    bool was_full = false;
    {
        const std::lock_guard lock(mutex_);
        was_full = events_.size() >= capacity_;
        out.assign(std::make_move_iterator(events_.begin()), std::make_move_iterator(events_.end()));
        events_.clear();
    }
    if (was_full) {
        mailbox_->wake(); // the engine had paused this request
    }
    return out;
}

bool Stream::ended() const {
    const std::lock_guard lock(mutex_);
    return events_.empty() && terminal_;
}

std::optional<Terminal> Stream::terminal() const {
    const std::lock_guard lock(mutex_);
    return events_.empty() ? terminal_ : std::nullopt;
}

void Stream::set_grammar(std::shared_ptr<const Grammar> grammar) {
    const std::lock_guard lock(mutex_);
    grammar_ = std::move(grammar);
    grammar_set_ = true;
}

std::optional<std::shared_ptr<const Grammar>> Stream::take_grammar() {
    if (!grammar_set_.load(std::memory_order_acquire)) { // nearly always, and without a lock
        return std::nullopt;
    }
    const std::lock_guard lock(mutex_);
    grammar_set_ = false;
    return std::exchange(grammar_, std::nullopt);
}

} // namespace mullama
