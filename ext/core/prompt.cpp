#include "prompt.hpp"

#include <array>
#include <cstdio>
#include <random>

namespace mullama {

namespace {

// Stands for a part inside a rendered template. Random for each prompt, so no text can contain it.
class Marks {
  public:
    Marks() {
        std::random_device random;
        std::array<char, 33> hex{};
        std::snprintf(hex.data(), hex.size(), "%08x%08x%08x%08x", random(), random(), random(), random());
        stem_ = std::string("[mullama:") + hex.data() + ":";
    }
    std::string add(PromptPart part) {
        parts_.push_back(std::move(part));
        return stem_ + std::to_string(parts_.size() - 1) + "]";
    }
    // The rendered template with every mark replaced by its part.
    std::vector<PromptPart> split(const std::string & rendered) const {
        std::vector<PromptPart> out;
        std::vector<bool> seen(parts_.size(), false);
        size_t at = 0;
        while (at < rendered.size()) {
            const size_t mark = rendered.find(stem_, at);
            if (mark > at) {
                out.push_back({rendered.substr(at, mark == std::string::npos ? mark : mark - at), true, nullptr});
            }
            if (mark == std::string::npos) {
                break;
            }
            const size_t number = mark + stem_.size();
            const size_t index = std::stoul(rendered.substr(number));
            out.push_back(parts_.at(index));
            seen.at(index) = true;
            at = rendered.find(']', number) + 1;
        }
        for (size_t i = 0; i < parts_.size(); ++i) {
            if (!seen[i] && parts_[i].medium) {
                throw Error(Errc::chat_template, "the chat template dropped a picture or recording", {},
                            "It may not allow media in this role; put them in a user message");
            }
        }
        return out;
    }

  private:
    std::string stem_;
    std::vector<PromptPart> parts_;
};

std::vector<PromptChunk> text_chunks(const Model & model, const std::vector<PromptPart> & parts, bool add_special) {
    PromptChunk chunk;
    if (parts.size() == 1) {
        chunk.tokens = model.tokenize(parts[0].text, add_special, parts[0].parse_special);
    } else {
        if (add_special && llama_vocab_get_add_bos(model.vocab())) {
            chunk.tokens.push_back(llama_vocab_bos(model.vocab()));
        }
        for (const PromptPart & part : parts) {
            const auto tokens = model.tokenize(part.text, false, part.parse_special);
            chunk.tokens.insert(chunk.tokens.end(), tokens.begin(), tokens.end());
        }
    }
    chunk.n_tokens = chunk.n_pos = static_cast<int32_t>(chunk.tokens.size());
    if (chunk.tokens.empty()) {
        return {};
    }
    return {std::move(chunk)};
}

} // namespace

bool holds_control_tokens(const Model & model, const std::string & text) {
    return model.tokenize(text, false, true) != model.tokenize(text, false, false);
}

std::vector<llama_token> Prompt::row_tokens() const {
    std::vector<llama_token> rows;
    for (const PromptChunk & chunk : chunks) {
        rows.insert(rows.end(), chunk.tokens.begin(), chunk.tokens.end());
        rows.resize(rows.size() + static_cast<size_t>(chunk.n_tokens) - chunk.tokens.size(), -1);
    }
    return rows;
}

const std::vector<llama_token> & Prompt::shown_tokens() const {
    static const std::vector<llama_token> none;
    return format ? format->shown : none;
}

std::shared_ptr<const Prompt> prompt_of_parts(const Model & model, const Media * media,
                                              const std::vector<PromptPart> & parts, bool add_special) {
    auto prompt = std::make_shared<Prompt>();
    for (const PromptPart & part : parts) {
        prompt->has_media = prompt->has_media || part.medium != nullptr;
    }
    if (prompt->has_media && media == nullptr) {
        throw Error(Errc::model_capability, "the model takes text only", model.path(),
                    "Load it with an mmproj that holds a vision or audio encoder");
    }
    prompt->chunks = prompt->has_media ? media->tokenize(parts, add_special) : text_chunks(model, parts, add_special);
    for (const PromptChunk & chunk : prompt->chunks) {
        prompt->n_tokens += chunk.n_tokens;
        prompt->n_pos += chunk.n_pos;
    }
    if (prompt->chunks.empty()) {
        throw Error(Errc::invalid_option, "the prompt is empty", "prompt", "Give it some text");
    }
    return prompt;
}

std::shared_ptr<const Prompt> prompt_of_messages(const Model & model, const Media * media,
                                                 const std::vector<PromptMessage> & messages,
                                                 const ChatOptions & options) {
    Marks marks;
    std::vector<ChatMessage> rendered;
    for (const PromptMessage & message : messages) {
        ChatMessage out{message.role, {}, message.tool_calls, message.reasoning, message.tool_name, message.tool_call_id};
        const bool foreign = message.role == "user" || message.role == "tool";
        for (const PromptPart & part : message.parts) {
            if (part.medium) {
                out.parts.push_back({marks.add(part), true});
            } else if (foreign && holds_control_tokens(model, part.text)) {
                out.parts.push_back({marks.add({part.text, false, nullptr}), false});
            } else {
                out.parts.push_back({part.text, false});
            }
        }
        rendered.push_back(std::move(out));
    }
    for (const ChatTool & tool : options.tools) {
        if (holds_control_tokens(model, tool.name + tool.description + tool.parameters)) {
            throw Error(Errc::invalid_option, "its description holds the text of a control token", tool.name,
                        "A tool that others describe could take over the conversation so; reword it");
        }
    }
    const auto own = options.template_text.empty() ? nullptr : ChatTemplate::of(model.get(), options.template_text);
    const ChatTemplate & chat = own ? *own : model.chat_template();
    const ChatRendered out = chat.render(rendered, options);
    const auto made = prompt_of_parts(model, media, marks.split(out.prompt), true);
    auto prompt = std::make_shared<Prompt>(*made);
    for (const std::string & name : out.format->preserved) {
        const auto tokens = model.tokenize(name, false, true);
        if (tokens.size() == 1) {
            out.format->shown.push_back(tokens[0]);
        }
    }
    prompt->format = out.format;
    return prompt;
}

} // namespace mullama
