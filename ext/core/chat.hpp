// Chat templates: messages and tools to one prompt string, and the answer back to a message, through
// llama.cpp's Jinja engine and parsers.
#pragma once

#include "grammar.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

struct llama_model;
struct common_chat_templates;
struct common_chat_parser_params;

namespace mullama {

struct ChatPart {
    std::string text;      // for a medium: the mark that stands for it
    bool is_media = false; // a template joins text parts by newlines, but not around media
};

struct ChatTool {
    std::string name;
    std::string description;
    std::string parameters; // a JSON Schema of an object
};

struct ChatToolCall {
    std::string id;
    std::string name;
    std::string arguments; // JSON, perhaps unfinished in a partial answer
};

struct ChatMessage {
    std::string role; // system | user | assistant | tool
    std::vector<ChatPart> parts;
    std::vector<ChatToolCall> tool_calls;
    std::string reasoning;
    std::string tool_name;
    std::string tool_call_id;
};

struct ChatOptions {
    bool add_generation_prompt = true;
    bool enable_thinking = true;
    std::map<std::string, std::string> kwargs{}; // template variables; values are JSON
    std::vector<ChatTool> tools{};
    std::string tool_choice = "auto"; // auto | none | required
    bool parallel_tool_calls = false;
    std::string reasoning_format = "auto"; // auto | none | deepseek | deepseek-legacy
    std::string template_text{};           // instead of the model's own
};

// What an assistant said.
struct ChatAnswer {
    std::string content;
    std::string reasoning;
    std::vector<ChatToolCall> tool_calls;
};

// How the answer to a prompt is written. Immutable once the prompt is made.
struct ChatFormat {
    GrammarPtr grammar;                 // what the tools ask for; null: nothing
    std::vector<std::string> stops;     // texts that end the answer beside the request's own
    std::vector<std::string> preserved; // control tokens that the parser reads
    std::vector<llama_token> shown;     // the same in the model's vocabulary
    std::shared_ptr<const common_chat_parser_params> parser;

    // Throws Error(answer) when a whole answer is not in the format. Thread-safe. partial: the
    // answer goes on; what cannot be told yet is left out.
    ChatAnswer parse(const std::string & text, bool partial) const;
};

struct ChatRendered {
    std::string prompt;
    std::shared_ptr<ChatFormat> format;
};

class ChatTemplate {
  public:
    // The template the model carries, or the given one, or nothing usable (see available()).
    static std::unique_ptr<ChatTemplate> of(const llama_model * model, const std::string & text = {});
    ~ChatTemplate();

    bool available() const { return available_; }
    std::string source() const;

    // Throws Error(chat_template). Thread-safe.
    ChatRendered render(const std::vector<ChatMessage> & messages, const ChatOptions & options) const;

  private:
    ChatTemplate() = default;

    struct Deleter {
        void operator()(common_chat_templates * templates) const;
    };
    std::unique_ptr<common_chat_templates, Deleter> templates_;
    std::string problem_;
    bool available_ = false;
    bool add_bos_ = false; // the tokeniser adds it, so the template's own is dropped
    bool add_eos_ = false;
};

} // namespace mullama
