#include "guard.hpp"

#include "ggml.h"

#include <cstdio>
#include <string_view>

namespace mullama {

namespace {

thread_local int guard_depth = 0;

// Called by ggml_abort() before abort(). Leaving it by an exception is what saves the process; C
// code in between is compiled with -fexceptions (cmake/llama.cmake).
void on_abort(const char * message) {
    std::string_view text = message;
    const size_t slash = text.find_last_of('/', text.find(": "));
    if (slash != std::string_view::npos) {
        text.remove_prefix(slash + 1);
    }
    if (guard_depth > 0) {
        throw BackendAbort(std::string(text));
    }
    std::fprintf(stderr, "mullama: llama.cpp aborted at %.*s\n", static_cast<int>(text.size()), text.data());
}

} // namespace

void install_abort_handler() { ggml_set_abort_callback(on_abort); }

Guard::Guard() { ++guard_depth; }
Guard::~Guard() { --guard_depth; }

} // namespace mullama
