#include "chat_generic.hpp"

#include <json.h>

namespace mullama {

namespace {

std::string quoted(const std::string & text) { return common_json(text).dump(); }

std::string description(const ChatOptions & options) {
    std::string out = "You may call these tools, given with the JSON schemas of their arguments:\n";
    for (const ChatTool & tool : options.tools) {
        out += "{\"name\": " + quoted(tool.name) + ", \"description\": " + quoted(tool.description) +
               ", \"parameters\": " + tool.parameters + "}\n";
    }
    out += "To call a tool write\n<tool_call>\n{\"name\": \"the tool\", \"arguments\": {...}}\n</tool_call>";
    out += options.tool_choice == "required" ? "\nAnswer with a call now." : "\nOr answer in words.";
    return out;
}

std::string call_text(const ChatToolCall & call) {
    const std::string arguments = call.arguments.empty() ? "{}" : call.arguments;
    return "<tool_call>\n{\"name\": " + quoted(call.name) + ", \"arguments\": " + arguments + "}\n</tool_call>";
}

} // namespace

std::vector<ChatMessage> with_tools_as_text(const std::vector<ChatMessage> & messages, const ChatOptions & options) {
    std::vector<ChatMessage> out;
    const auto text = [](const std::string & role, std::string content) {
        return ChatMessage{role, {{std::move(content), false}}, {}, {}, {}, {}};
    };
    std::string system = description(options);
    size_t first = 0;
    if (!messages.empty() && messages[0].role == "system" && messages[0].parts.size() == 1) {
        system = messages[0].parts[0].text + "\n\n" + system;
        first = 1;
    }
    out.push_back(text("system", std::move(system)));
    for (size_t i = first; i < messages.size(); ++i) {
        ChatMessage message = messages[i];
        if (message.role == "tool") {
            message.role = "user";
            message.parts.insert(message.parts.begin(), {"<tool_response>", false});
            message.parts.push_back({"</tool_response>", false});
        }
        for (const ChatToolCall & call : message.tool_calls) {
            message.parts.push_back({call_text(call), false});
        }
        message.tool_calls.clear();
        message.tool_name.clear();
        message.tool_call_id.clear();
        out.push_back(std::move(message));
    }
    return out;
}

const std::string & generic_tool_template() {
    static const std::string text = R"JINJA(
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- for tool in tools %}{{- tool | tojson }}{{- '\n' }}{%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' }}
        {%- if message.content %}{{- message.content }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\n<tool_call>\n{"name": "' }}{{- call.function.name }}{{- '", "arguments": ' }}
            {{- call.function.arguments | tojson }}{{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %})JINJA";
    return text;
}

} // namespace mullama
