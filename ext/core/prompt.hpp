// From parts or chat messages to the chunks a sequence is prefilled with.
#pragma once

#include "media.hpp"
#include "model.hpp"
#include "shared.hpp"

#include <memory>
#include <string>
#include <vector>

namespace mullama {

struct Prompt : public Shared<Prompt> {
    std::vector<PromptChunk> chunks;
    int32_t n_tokens = 0; // rows to evaluate
    int32_t n_pos = 0;    // positions they take
    bool has_media = false;
    std::shared_ptr<const ChatFormat> format; // of messages: how the answer to them is written

    std::vector<llama_token> row_tokens() const; // one a row; -1 for each of a medium
    // Control tokens whose names are part of the answer's text.
    const std::vector<llama_token> & shown_tokens() const;
};

struct PromptMessage {
    std::string role;
    std::vector<PromptPart> parts;
    std::vector<ChatToolCall> tool_calls{}; // of an assistant
    std::string reasoning{};                // of an assistant
    std::string tool_name{};                // of a tool's answer
    std::string tool_call_id{};             // likewise
};

// Whether the text would act as a control token if it were read as one.
bool holds_control_tokens(const Model & model, const std::string & text);

// Plain parts, for completion. media may be null when no part is a medium.
// Thread-safe; blocks for tokenisation and media preprocessing.
std::shared_ptr<const Prompt> prompt_of_parts(const Model & model, const Media * media,
                                              const std::vector<PromptPart> & parts, bool add_special);

// Messages through the model's chat template. What a user or tool wrote can neither place media
// nor act as a control token: such text is tokenised apart, as plain text.
std::shared_ptr<const Prompt> prompt_of_messages(const Model & model, const Media * media,
                                                 const std::vector<PromptMessage> & messages,
                                                 const ChatOptions & options);

} // namespace mullama
