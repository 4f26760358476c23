#include "chat.hpp"

#include "chat_generic.hpp"
#include "error.hpp"
#include "template_check.hpp"
#include "text.hpp"

#include "llama.h"

// llama.cpp's common/chat.h, which this folder's chat.hpp must not shadow
#include <chat.h>

namespace mullama {

namespace {

constexpr int32_t most_nesting = 300; // of JSON: upstream reads it by recursion

common_chat_msg to_upstream(const ChatMessage & message) {
    common_chat_msg out;
    out.role = message.role;
    if (message.parts.size() == 1 && !message.parts[0].is_media) {
        out.content = message.parts[0].text;
    } else {
        for (const ChatPart & part : message.parts) {
            out.content_parts.push_back({part.is_media ? "media_marker" : "text", part.text});
        }
    }
    for (const ChatToolCall & call : message.tool_calls) {
        if (nesting(call.arguments) > most_nesting) {
            throw Error(Errc::invalid_option, "its arguments are nested too deeply", call.name);
        }
        out.tool_calls.push_back({call.name, call.arguments, call.id});
    }
    out.reasoning_content = message.reasoning;
    out.tool_name = message.tool_name;
    out.tool_call_id = message.tool_call_id;
    return out;
}

common_chat_templates_inputs inputs_of(const std::vector<ChatMessage> & messages, const ChatOptions & options) {
    common_chat_templates_inputs inputs;
    inputs.add_generation_prompt = options.add_generation_prompt;
    inputs.enable_thinking = options.enable_thinking;
    inputs.chat_template_kwargs = options.kwargs;
    inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(options.tool_choice);
    inputs.parallel_tool_calls = options.parallel_tool_calls;
    inputs.reasoning_format = common_reasoning_format_from_name(options.reasoning_format);
    for (const ChatTool & tool : options.tools) {
        inputs.tools.push_back({tool.name, tool.description, tool.parameters});
    }
    for (const ChatMessage & message : messages) {
        inputs.messages.push_back(to_upstream(message));
    }
    return inputs;
}

Trigger trigger_of(const common_grammar_trigger & from) {
    Trigger trigger;
    switch (from.type) {
        case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
            trigger.kind = Trigger::Kind::token;
            trigger.token = from.token;
            break;
        case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: trigger.word = from.value; break;
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL: trigger.whole = true; [[fallthrough]];
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
            trigger.kind = Trigger::Kind::regex;
            trigger.regex = std::make_shared<const std::regex>(from.value);
            break;
    }
    return trigger;
}

GrammarPtr grammar_of(const common_chat_params & params) {
    if (params.grammar.empty()) {
        return nullptr;
    }
    const GrammarPtr grammar = Grammar::gbnf(params.grammar, "root");
    if (!params.grammar_lazy) {
        return params.generation_prompt.empty() ? grammar : grammar->after(params.generation_prompt);
    }
    Waiting waiting;
    for (const common_grammar_trigger & trigger : params.grammar_triggers) {
        waiting.triggers.push_back(trigger_of(trigger));
    }
    if (!params.thinking_end_tags.empty()) { // a model that thinks about calling does not call yet
        waiting.quiet_start = params.thinking_start_tag;
        waiting.quiet_end = params.thinking_end_tags;
        const size_t opened = params.generation_prompt.rfind(params.thinking_start_tag);
        waiting.quiet = !params.thinking_start_tag.empty() && opened != std::string::npos;
        for (const std::string & end : params.thinking_end_tags) {
            waiting.quiet = waiting.quiet && params.generation_prompt.find(end, opened) == std::string::npos;
        }
    }
    return grammar->when(std::move(waiting));
}

bool wants_tools(const ChatOptions & options) { return !options.tools.empty() && options.tool_choice != "none"; }

std::shared_ptr<ChatFormat> format_of(const common_chat_params & params, const ChatOptions & options) {
    auto format = std::make_shared<ChatFormat>();
    const bool tools = wants_tools(options);
    format->grammar = tools ? grammar_of(params) : nullptr;
    format->stops = params.additional_stops;
    format->preserved = params.preserved_tokens;
    auto parser = std::make_shared<common_chat_parser_params>(params);
    parser->reasoning_format = common_reasoning_format_from_name(options.reasoning_format);
    parser->parse_tool_calls = tools;
    if (!params.parser.empty()) {
        parser->parser.load(params.parser);
    }
    format->parser = std::move(parser);
    return format;
}

// The model's template renders words alone; grammar and parser are those of the generic format.
ChatRendered render_generic(const common_chat_templates * own, const std::vector<ChatMessage> & messages,
                            const ChatOptions & options, const common_chat_templates_inputs & inputs) {
    static const common_chat_templates_ptr generic = common_chat_templates_init(nullptr, generic_tool_template());
    common_chat_templates_inputs plain = inputs;
    plain.tools.clear();
    plain.messages.clear();
    for (const ChatMessage & message : with_tools_as_text(messages, options)) {
        plain.messages.push_back(to_upstream(message));
    }
    const common_chat_params rendered = common_chat_templates_apply(own, plain);
    common_chat_params params = common_chat_templates_apply(generic.get(), inputs);
    params.additional_stops = rendered.additional_stops;
    ChatRendered out{rendered.prompt, format_of(params, options)};
    if (options.tool_choice == "required") { // upstream's lets any text come before the call
        out.format->grammar = Grammar::gbnf(params.grammar, options.parallel_tool_calls ? "tool-calls" : "tool-call");
    }
    return out;
}

} // namespace

ChatAnswer ChatFormat::parse(const std::string & text, bool partial) const {
    ChatAnswer answer;
    try {
        if (parser->parse_tool_calls && nesting(text) > most_nesting) {
            throw std::runtime_error("it is nested too deeply");
        }
        const common_chat_msg message = common_chat_parse(text, partial, *parser);
        answer.content = message.content;
        answer.reasoning = message.reasoning_content;
        for (const common_chat_tool_call & call : message.tool_calls) {
            answer.tool_calls.push_back({call.id, call.name, call.arguments});
        }
    } catch (const std::exception & error) {
        if (!partial) {
            throw Error(Errc::answer, std::string("it cannot be read: ") + error.what(), "answer",
                        "The model wrote something else, or max_tokens cut it off; its text is there unread");
        }
    }
    return answer;
}

void ChatTemplate::Deleter::operator()(common_chat_templates * templates) const {
    common_chat_templates_free(templates);
}

ChatTemplate::~ChatTemplate() = default;

std::unique_ptr<ChatTemplate> ChatTemplate::of(const llama_model * model, const std::string & text) {
    std::unique_ptr<ChatTemplate> chat(new ChatTemplate);
    const std::string whose = text.empty() ? "the model's chat template" : "the chat template";
    const char * own = llama_model_chat_template(model, nullptr);
    if (text.empty() && own == nullptr) {
        chat->problem_ = "the model carries no chat template";
        return chat;
    }
    chat->add_bos_ = llama_vocab_get_add_bos(llama_model_get_vocab(model));
    chat->add_eos_ = llama_vocab_get_add_eos(llama_model_get_vocab(model));
    try {
        check_template(text.empty() ? own : text);
        if (const char * for_tools = llama_model_chat_template(model, "tool_use"); text.empty() && for_tools != nullptr) {
            check_template(for_tools);
        }
        chat->templates_.reset(common_chat_templates_init(model, text).release());
        chat->available_ = true;
    } catch (const std::exception & error) {
        chat->problem_ = whose + " cannot be parsed: " + error.what();
    }
    return chat;
}

std::string ChatTemplate::source() const {
    return templates_ ? common_chat_templates_source(templates_.get()) : "";
}

ChatRendered ChatTemplate::render(const std::vector<ChatMessage> & messages, const ChatOptions & options) const {
    if (!available_) {
        throw Error(Errc::chat_template, problem_, {},
                    "It is a base model or needs a template of yours; give it a plain prompt instead of messages");
    }
    try {
        common_chat_templates_inputs inputs = inputs_of(messages, options);
        inputs.add_bos = add_bos_;
        inputs.add_eos = add_eos_;
        const bool tools = wants_tools(options);
        const bool native = !tools || common_chat_templates_get_caps(templates_.get()).at("supports_tool_calls");
        if (native) {
            const common_chat_params params = common_chat_templates_apply(templates_.get(), inputs);
            if (!tools || options.tool_choice != "required" || !params.grammar.empty()) {
                return {params.prompt, format_of(params, options)};
            }
        }
        return render_generic(templates_.get(), messages, options, inputs);
    } catch (const Error &) {
        throw;
    } catch (const std::exception & error) {
        throw Error(Errc::chat_template, std::string("the chat template refused the messages: ") + error.what());
    }
}

} // namespace mullama
