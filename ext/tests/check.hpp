// A few lines in place of a test framework: TEST(name) { CHECK(expression); }
#pragma once

#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace check {

inline std::vector<std::pair<std::string, std::function<void()>>> & tests() {
    static std::vector<std::pair<std::string, std::function<void()>>> all;
    return all;
}

inline int & failures() {
    static int count = 0;
    return count;
}

struct Register {
    Register(const char * name, std::function<void()> body) { tests().emplace_back(name, std::move(body)); }
};

} // namespace check

#define TEST(name)                                                                                                     \
    static void name();                                                                                                \
    static const check::Register register_##name(#name, name);                                                         \
    static void name()

#define CHECK(expression)                                                                                              \
    do {                                                                                                               \
        if (!(expression)) {                                                                                           \
            ++check::failures();                                                                                       \
            std::cerr << __FILE__ << ":" << __LINE__ << ": " << #expression << "\n";                                   \
        }                                                                                                              \
    } while (false)
