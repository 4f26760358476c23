// Tools for models whose template has no place for them: described in a system message, called and
// answered in the way Hermes models do, all as plain text.
#pragma once

#include "chat.hpp"

namespace mullama {

// The same conversation without tools in it: what the model's own template can render.
std::vector<ChatMessage> with_tools_as_text(const std::vector<ChatMessage> & messages, const ChatOptions & options);

// A template of that format, from which llama.cpp derives grammar, triggers and parser.
const std::string & generic_tool_template();

} // namespace mullama
