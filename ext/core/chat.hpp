// Chat templates: messages to one prompt string, through llama.cpp's Jinja engine.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

struct llama_model;
struct common_chat_templates;

namespace mullama {

struct ChatPart {
    std::string text;      // for a medium: the mark that stands for it
    bool is_media = false; // a template joins text parts by newlines, but not around media
};

struct ChatMessage {
    std::string role; // system | user | assistant | tool
    std::vector<ChatPart> parts;
};

struct ChatOptions {
    bool add_generation_prompt = true;
    bool enable_thinking = true;
    std::map<std::string, std::string> kwargs; // template variables; values are JSON
};

class ChatTemplate {
  public:
    // The template the model carries, or nothing usable (see available()).
    static std::unique_ptr<ChatTemplate> of(const llama_model * model);
    ~ChatTemplate();

    bool available() const { return available_; }
    std::string source() const;

    // Throws Error(chat_template). Thread-safe.
    std::string render(const std::vector<ChatMessage> & messages, const ChatOptions & options) const;

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
