// llama.cpp's log: silent by default, and remembered so that a failure can say why.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace mullama {

enum class LogLevel { none = 0, error = 1, warn = 2, info = 3, debug = 4 };

void install_log_handler();         // once per process
void set_log_level(LogLevel level); // what goes to stderr; thread-safe

// Collects the errors and warnings that llama.cpp logs on this thread while it is alive.
class LogScope {
  public:
    LogScope();
    ~LogScope();
    LogScope(const LogScope &) = delete;
    LogScope & operator=(const LogScope &) = delete;

    std::string reason() const; // the errors (or else the warnings), joined by "; "; may be empty

  private:
    friend void remember(LogLevel level, const std::string & line);
    std::string errors_;
    std::string warnings_;
    LogScope * outer_;
};

// Receives every whole line that llama.cpp logs on this thread while it is alive, whatever its level
// and whatever goes to stderr.
class LogTap {
  public:
    explicit LogTap(std::function<void(std::string_view)> on_line);
    ~LogTap();
    LogTap(const LogTap &) = delete;
    LogTap & operator=(const LogTap &) = delete;

    void feed(std::string_view text);

  private:
    std::function<void(std::string_view)> on_line_;
    std::string line_;
    LogTap * outer_;
};

} // namespace mullama
