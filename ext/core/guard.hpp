// Survive GGML_ABORT: upstream aborts the process on input it did not expect. While a Guard is
// alive on a thread, an abort on that thread throws instead.
#pragma once

#include "error.hpp"

#include <new>
#include <string>
#include <utility>

namespace mullama {

void install_abort_handler(); // once per process

class Guard {
  public:
    Guard();
    ~Guard();
    Guard(const Guard &) = delete;
    Guard & operator=(const Guard &) = delete;
};

// Thrown by the handler; `what()` is upstream's message without its source path.
class BackendAbort : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Runs fn under a Guard and reports an abort, or an exception of upstream's, as Error(code). What upstream had allocated below the
// aborting frame may leak; the object being built must not be used again.
template <class F> auto guarded(Errc code, const std::string & where, F && fn) {
    const Guard guard;
    try {
        return std::forward<F>(fn)();
    } catch (const BackendAbort & abort) {
        throw Error(code, std::string("llama.cpp refused the input: ") + abort.what(), where);
    } catch (const Error &) {
        throw;
    } catch (const std::bad_alloc &) {
        throw Error(code, "there is not enough memory", where);
    } catch (const std::exception & error) {
        throw Error(code, std::string("llama.cpp failed: ") + error.what(), where);
    }
}

} // namespace mullama
