// llama.cpp's template interpreter with bounds. A chat template is a program out of a model file:
// without these it could end the process by endless recursion, or never end. Compiled in place of
// upstream's jinja/runtime.cpp, which it includes unchanged; core/template_check.cpp bounds the parse.
#include "jinja/runtime.h"

#include "jinja/lexer.h"
#include "jinja/utils.h"
#include "jinja/value.h"

#include <cmath>
#include <cstdint>
#include <ctime>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace jinja {

namespace {

constexpr int most_depth = 400;            // statements within statements; 1 to 2 KiB of stack each
constexpr double most_seconds = 1.0;         // of the processor, for one rendering; templates take milliseconds
constexpr int64_t most_range = 100'000;    // numbers in one range()

// One statement under way on this thread.
class Step {
  public:
    Step() {
        if (depth_ == 0) {
            steps_ = 0;
            began_ = seconds();
        }
        if (depth_ >= most_depth) {
            throw std::runtime_error("the template calls itself too deeply");
        }
        if (++steps_ % 256 == 0 && seconds() - began_ > most_seconds) {
            throw std::runtime_error("the template takes too long");
        }
        ++depth_;
    }
    ~Step() { --depth_; }
    Step(const Step &) = delete;
    Step & operator=(const Step &) = delete;

  private:
    // Of this thread where the system tells, so that a busy machine changes nothing.
    static double seconds() {
#ifdef CLOCK_THREAD_CPUTIME_ID
        timespec now{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
#else
        return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
#endif
    }

    static thread_local int depth_;
    static thread_local int64_t steps_;
    static thread_local double began_;
};

thread_local int Step::depth_ = 0;
thread_local int64_t Step::steps_ = 0;
thread_local double Step::began_ = 0;

int64_t int_at(const func_args & args, size_t index, int64_t otherwise) {
    const value given = args.count() > index ? args.get_pos(index) : mk_val<value_undefined>();
    return is_val<value_int>(given) ? given->as_int() : otherwise;
}

value range(const func_args & args) {
    const bool one = args.count() < 2;
    const auto start = static_cast<double>(one ? 0 : int_at(args, 0, 0));
    const auto stop = static_cast<double>(int_at(args, one ? 0 : 1, 0));
    const auto step = static_cast<double>(int_at(args, 2, 1));
    if (step != 0 && (stop - start) / step > static_cast<double>(most_range)) {
        throw std::runtime_error("range() of more than " + std::to_string(most_range) + " numbers");
    }
    return global_builtins().at("range")(args);
}

value divisible(const func_args & args) {
    if (int_at(args, 1, 1) == 0 || int_at(args, 1, 1) == -1) { // upstream divides, and the processor traps
        return mk_val<value_bool>(int_at(args, 1, 1) == -1);
    }
    return global_builtins().at("test_is_divisibleby")(args);
}

// Upstream copies its table at every identifier; this one is a pointer.
class Builtins {
  public:
    auto find(const std::string & name) const { return table().find(name); }
    auto end() const { return table().end(); }
    const auto & at(const std::string & name) const { return table().at(name); }

  private:
    static const func_builtins & table() {
        static const func_builtins bounded = [] {
            func_builtins all = global_builtins();
            all["range"] = range;
            all["test_is_divisibleby"] = divisible;
            return all;
        }();
        return bounded;
    }
};

} // namespace

} // namespace jinja

// statement::execute, through which everything runs, begins with the first of the file's two `try`.
#define try if (const Step step; true) try
#define global_builtins Builtins
#include "jinja/runtime.cpp"
