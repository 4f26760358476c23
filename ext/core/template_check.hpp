// Refuses chat templates that llama.cpp's recursive parser could not read without exhausting the stack.
#pragma once

#include <string>

namespace mullama {

// Throws std::runtime_error that says what is too deep or too long, or what the lexer says.
void check_template(const std::string & source);

} // namespace mullama
