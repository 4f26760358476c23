// The prompts of embeddings and scores: pairs for a reranker, and beginnings of what is too long.
#include "embedding.hpp"
#include "prompt.hpp"

#include <algorithm>

namespace mullama {

namespace {

using Tokens = std::vector<llama_token>;

std::shared_ptr<const Prompt> prompt_of_tokens(Tokens tokens) {
    PromptChunk chunk;
    chunk.tokens = std::move(tokens);
    chunk.n_tokens = chunk.n_pos = static_cast<int32_t>(chunk.tokens.size());
    auto prompt = std::make_shared<Prompt>();
    prompt->n_tokens = prompt->n_pos = chunk.n_tokens;
    prompt->chunks.push_back(std::move(chunk));
    return prompt;
}

void append(Tokens & to, const Tokens & tokens) { to.insert(to.end(), tokens.begin(), tokens.end()); }

// A text with everything in it that came from outside kept from acting as a control token. What
// cannot act as one is tokenised with its surroundings.
class Assembled {
  public:
    explicit Assembled(const Model & model) : model_(model) {}

    void own(std::string_view text) { pending_ += text; }
    void foreign(const std::string & text) {
        if (holds_control_tokens(model_, text)) {
            append(tokens(), model_.tokenize(text, false, false));
        } else {
            pending_ += text;
        }
    }
    Tokens & tokens() {
        append(tokens_, model_.tokenize(std::exchange(pending_, {}), false, true));
        return tokens_;
    }

  private:
    const Model & model_;
    std::string pending_;
    Tokens tokens_;
};

// document: null puts the given tokens in its place.
Tokens of_template(const Model & model, std::string_view pattern, const std::string & query,
                   const std::string * document, const Tokens & cut) {
    constexpr std::string_view query_mark = "{query}";
    constexpr std::string_view document_mark = "{document}";
    Assembled out(model);
    while (!pattern.empty()) {
        const size_t at = std::min(pattern.find(query_mark), pattern.find(document_mark));
        out.own(pattern.substr(0, at));
        if (at == std::string_view::npos) {
            break;
        }
        const bool is_query = pattern.substr(at).starts_with(query_mark);
        pattern.remove_prefix(at + (is_query ? query_mark.size() : document_mark.size()));
        if (is_query || document != nullptr) {
            out.foreign(is_query ? query : *document);
        } else {
            append(out.tokens(), cut);
        }
    }
    return std::move(out.tokens());
}

Tokens between_borders(const Model & model, const std::string & query, const Tokens & document) {
    const llama_vocab * vocab = model.vocab();
    const llama_token eos = llama_vocab_eos(vocab) == LLAMA_TOKEN_NULL ? llama_vocab_sep(vocab) : llama_vocab_eos(vocab);
    const auto border = [](bool wanted, llama_token token) { return wanted ? Tokens{token} : Tokens{}; };
    Tokens out = border(llama_vocab_get_add_bos(vocab), llama_vocab_bos(vocab));
    append(out, model.tokenize(query, false, false));
    append(out, border(llama_vocab_get_add_eos(vocab), eos));
    append(out, border(llama_vocab_get_add_sep(vocab), llama_vocab_sep(vocab)));
    append(out, document);
    append(out, border(llama_vocab_get_add_eos(vocab), eos));
    return out;
}

} // namespace

std::shared_ptr<const Prompt> prompt_of_pair(const Model & model, const std::string & query,
                                             const std::string & document, int32_t limit) {
    const char * pattern = llama_model_chat_template(model.get(), "rerank");
    Tokens whole = model.tokenize(document, false, false);
    if (model.tokenize(query, false, false).empty() || whole.empty()) {
        throw Error(Errc::invalid_option, "there is nothing to compare", whole.empty() ? "document" : "query",
                    "Give it some text");
    }
    Tokens tokens = pattern ? of_template(model, pattern, query, &document, {}) : between_borders(model, query, whole);
    if (limit > 0 && tokens.size() > static_cast<size_t>(limit)) {
        const auto made = [&](const Tokens & cut) {
            return pattern ? of_template(model, pattern, query, nullptr, cut) : between_borders(model, query, cut);
        };
        const size_t rest = made({}).size();
        if (rest >= static_cast<size_t>(limit)) {
            throw Error(Errc::context_overflow,
                        "it takes " + std::to_string(rest) + " tokens, which leaves none of " + std::to_string(limit) +
                            " for a document",
                        "query", "Shorten it");
        }
        whole.resize(std::min(whole.size(), static_cast<size_t>(limit) - rest));
        tokens = made(whole);
    }
    return prompt_of_tokens(std::move(tokens));
}

std::shared_ptr<const Prompt> truncated(std::shared_ptr<const Prompt> prompt, const Model & model, int32_t limit) {
    if (prompt->n_tokens <= limit) {
        return prompt;
    }
    Tokens tokens = prompt->chunks.front().tokens;
    const llama_token last = tokens.back();
    tokens.resize(static_cast<size_t>(limit));
    const bool is_end = last == llama_vocab_eos(model.vocab()) || last == llama_vocab_sep(model.vocab());
    if (is_end && (llama_vocab_get_add_eos(model.vocab()) || llama_vocab_get_add_sep(model.vocab()))) {
        tokens.back() = last;
    }
    return prompt_of_tokens(std::move(tokens));
}

} // namespace mullama
