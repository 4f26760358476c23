// The one exception type of core. bind/errors.cpp turns it into the Python class of the same name.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace mullama {

enum class Errc {
    invalid_option,
    model_load,
    model_capability,
    chat_template,
    media,
    engine_closed,
    context_overflow,
    overloaded,
    decode,
    quantize,
    quantize_cancelled,
    grammar,
    answer,
    session,
    state,
};

// what went wrong, where (a file, option or part; may be empty), and what to do (may be empty).
class Error : public std::runtime_error {
  public:
    Error(Errc code_, const std::string & what, std::string where_ = {}, std::string hint_ = {})
        : std::runtime_error(what), code(code_), where(std::move(where_)), hint(std::move(hint_)) {}

    Errc code;
    std::string where;
    std::string hint;
};

} // namespace mullama
