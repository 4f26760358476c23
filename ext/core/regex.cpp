#include "regex.hpp"

#include "text.hpp"

#include <algorithm>
#include <utility>

namespace mullama {

namespace {

bool is_word(std::optional<char32_t> c) {
    return c && ((*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || *c == '_' || (*c >= 'a' && *c <= 'z'));
}

} // namespace

bool CharSet::has(char32_t c) const {
    const auto inside = [this](char32_t x) {
        return std::any_of(ranges.begin(), ranges.end(),
                           [x](const CharRange & range) { return range.first <= x && x <= range.last; });
    };
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return (inside(c) || (fold_case && letter && inside(c ^ 0x20))) != negated;
}

RegexFilter::RegexFilter(std::shared_ptr<const Regex> regex)
    : regex_(std::move(regex)), starts_(regex_->program().size(), dead), next_(starts_) {}

// Reaches instruction `at` with a match that began at `start`, and what follows without a character.
// Assertions wait for the next character; where it is known they are decided.
void RegexFilter::follow(std::vector<size_t> & starts, uint32_t at, size_t start, std::optional<char32_t> next) {
    const auto & program = regex_->program();
    stack_.assign(1, at);
    while (!stack_.empty()) {
        const uint32_t now = stack_.back();
        stack_.pop_back();
        if (starts[now] != dead && starts[now] <= start) {
            continue; // reached before, from further left
        }
        starts[now] = start;
        const Regex::Instruction & instruction = program[now];
        const bool border = next && is_word(previous_) != is_word(next);
        switch (instruction.op) {
            case Regex::Op::jump: stack_.push_back(instruction.to); break;
            case Regex::Op::split:
                stack_.push_back(instruction.to);
                stack_.push_back(instruction.other);
                break;
            case Regex::Op::at_start:
                if (next && !previous_) {
                    stack_.push_back(now + 1);
                }
                break;
            case Regex::Op::at_border:
                if (next && border) {
                    stack_.push_back(now + 1);
                }
                break;
            case Regex::Op::not_at_border:
                if (next && !border) {
                    stack_.push_back(now + 1);
                }
                break;
            case Regex::Op::set:
            case Regex::Op::match: break;
        }
    }
}

bool RegexFilter::step(char32_t c, size_t length) {
    const auto & program = regex_->program();
    for (uint32_t at = 0; at < program.size(); ++at) { // assertions that waited for c
        const Regex::Op op = program[at].op;
        if (starts_[at] != dead &&
            (op == Regex::Op::at_start || op == Regex::Op::at_border || op == Regex::Op::not_at_border)) {
            const size_t start = std::exchange(starts_[at], dead);
            follow(starts_, at, start, c);
        }
    }
    follow(starts_, 0, position_, c); // a match may begin here
    if (starts_.back() != dead) {
        return true; // it ended before c
    }
    std::fill(next_.begin(), next_.end(), dead);
    previous_ = c;
    for (uint32_t at = 0; at < program.size(); ++at) {
        if (starts_[at] != dead && program[at].op == Regex::Op::set && program[at].set.has(c)) {
            follow(next_, at + 1, starts_[at], std::nullopt);
        }
    }
    std::swap(starts_, next_);
    position_ += length;
    return starts_.back() != dead;
}

std::string RegexFilter::push(std::string_view text) {
    if (matched_) {
        return {};
    }
    held_ += text;
    while (!text.empty()) {
        const auto [c, length] = first_char(text);
        if (step(c, length)) {
            const size_t start = starts_.back() - out_;
            matched_ = held_.substr(start, position_ - out_ - start);
            held_.resize(start);
            return flush();
        }
        text.remove_prefix(length);
    }
    const size_t first = std::min(*std::min_element(starts_.begin(), starts_.end()), position_);
    std::string out = held_.substr(0, first - out_);
    held_.erase(0, first - out_);
    out_ = first;
    return out;
}

std::string RegexFilter::flush() {
    out_ += held_.size();
    return std::exchange(held_, {});
}

} // namespace mullama
