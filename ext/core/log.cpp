#include "log.hpp"

#include "llama.h"
#include "log.h" // llama.cpp's common
#include "mtmd_log.hpp"

#include <atomic>
#include <cstdio>

namespace mullama {

namespace {

std::atomic<LogLevel> threshold{LogLevel::none};
thread_local LogScope * current = nullptr;
thread_local LogTap * tap = nullptr;
thread_local std::string pending; // upstream logs some lines in pieces (GGML_LOG_LEVEL_CONT)
thread_local LogLevel pending_level = LogLevel::none;

LogLevel level_of(ggml_log_level level) {
    switch (level) {
        case GGML_LOG_LEVEL_ERROR: return LogLevel::error;
        case GGML_LOG_LEVEL_WARN: return LogLevel::warn;
        case GGML_LOG_LEVEL_INFO: return LogLevel::info;
        case GGML_LOG_LEVEL_CONT: return pending_level;
        default: return LogLevel::debug;
    }
}

void append(std::string & joined, const std::string & line) {
    if (joined.size() < 2000 && joined.find(line) == std::string::npos) {
        joined += joined.empty() ? line : "; " + line;
    }
}

} // namespace

void remember(LogLevel level, const std::string & line) {
    if (current != nullptr && !line.empty()) {
        if (level == LogLevel::error) {
            append(current->errors_, line);
        } else if (level == LogLevel::warn) {
            append(current->warnings_, line);
        }
    }
}

namespace {

void on_log(ggml_log_level raw, const char * text, void *) {
    pending_level = level_of(raw);
    if (pending_level <= threshold.load(std::memory_order_relaxed)) {
        std::fputs(text, stderr);
    }
    if (tap != nullptr) {
        tap->feed(text);
    }
    if (pending_level > LogLevel::warn) {
        return;
    }
    pending += text;
    if (pending.back() == '\n' || pending.size() > 4096) {
        const size_t last = pending.find_last_not_of(" \n");
        remember(pending_level, last == std::string::npos ? "" : pending.substr(0, last + 1));
        pending.clear();
    }
}

} // namespace

void install_log_handler() {
    llama_log_set(on_log, nullptr);
    set_mtmd_log(on_log);
    common_log_set_verbosity_thold(-1); // common has a logger of its own, with a thread; keep it quiet
}

void set_log_level(LogLevel level) { threshold.store(level, std::memory_order_relaxed); }

LogScope::LogScope() : outer_(current) { current = this; }
LogScope::~LogScope() { current = outer_; }

std::string LogScope::reason() const { return errors_.empty() ? warnings_ : errors_; }

LogTap::LogTap(std::function<void(std::string_view)> on_line) : on_line_(std::move(on_line)), outer_(tap) {
    tap = this;
}

LogTap::~LogTap() { tap = outer_; }

void LogTap::feed(std::string_view text) {
    for (const char c : text) {
        if (c == '\n') {
            on_line_(line_);
            line_.clear();
        } else {
            line_ += c;
        }
    }
}

} // namespace mullama
