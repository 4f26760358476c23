#include "chat.hpp"

#include "error.hpp"

#include "llama.h"

// llama.cpp's common/chat.h, which this folder's chat.hpp must not shadow
#include <chat.h>

namespace mullama {

void ChatTemplate::Deleter::operator()(common_chat_templates * templates) const {
    common_chat_templates_free(templates);
}

ChatTemplate::~ChatTemplate() = default;

std::unique_ptr<ChatTemplate> ChatTemplate::of(const llama_model * model) {
    std::unique_ptr<ChatTemplate> chat(new ChatTemplate);
    if (llama_model_chat_template(model, nullptr) == nullptr) {
        chat->problem_ = "the model carries no chat template";
        return chat;
    }
    chat->add_bos_ = llama_vocab_get_add_bos(llama_model_get_vocab(model));
    chat->add_eos_ = llama_vocab_get_add_eos(llama_model_get_vocab(model));
    try {
        chat->templates_.reset(common_chat_templates_init(model, "").release());
        chat->available_ = true;
    } catch (const std::exception & error) {
        chat->problem_ = std::string("the model's chat template cannot be parsed: ") + error.what();
    }
    return chat;
}

std::string ChatTemplate::source() const {
    return templates_ ? common_chat_templates_source(templates_.get()) : "";
}

std::string ChatTemplate::render(const std::vector<ChatMessage> & messages, const ChatOptions & options) const {
    if (!available_) {
        throw Error(Errc::chat_template, problem_, {},
                    "It is a base model or needs a template of yours; give it a plain prompt instead of messages");
    }
    common_chat_templates_inputs inputs;
    inputs.add_bos = add_bos_;
    inputs.add_eos = add_eos_;
    inputs.add_generation_prompt = options.add_generation_prompt;
    inputs.enable_thinking = options.enable_thinking;
    inputs.chat_template_kwargs = options.kwargs;
    for (const ChatMessage & message : messages) {
        common_chat_msg copy;
        copy.role = message.role;
        if (message.parts.size() == 1 && !message.parts[0].is_media) {
            copy.content = message.parts[0].text;
        } else {
            for (const ChatPart & part : message.parts) {
                copy.content_parts.push_back({part.is_media ? "media_marker" : "text", part.text});
            }
        }
        inputs.messages.push_back(std::move(copy));
    }
    try {
        return common_chat_templates_apply(templates_.get(), inputs).prompt;
    } catch (const std::exception & error) {
        throw Error(Errc::chat_template, std::string("the chat template refused the messages: ") + error.what());
    }
}

} // namespace mullama
