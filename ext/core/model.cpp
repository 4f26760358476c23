#include "model.hpp"

#include "gguf_check.hpp"
#include "guard.hpp"
#include "log.hpp"
#include "model_params.hpp"

#include <algorithm>

namespace mullama {

namespace {

constexpr size_t most_text = 1 << 30; // bytes; upstream counts in 32 bits

bool on_progress(float fraction, void * user) {
    auto * progress = static_cast<LoadProgress *>(user);
    progress->fraction.store(fraction, std::memory_order_relaxed);
    return !progress->cancelled.load(std::memory_order_relaxed);
}

} // namespace

std::shared_ptr<const Model> Model::load(const std::string & path, const ModelParams & params,
                                         LoadProgress * progress) {
    check_model_file(path);
    RawModelParams given(params);
    llama_model_params & raw = given.raw;
    if (progress != nullptr) {
        raw.progress_callback = on_progress;
        raw.progress_callback_user_data = progress;
    }

    std::shared_ptr<Model> model(new Model);
    model->path_ = path;
    model->vocab_only_ = params.vocab_only;
    model->mtp_ = params.mtp;
    model->metadata_overrides_ = params.metadata_overrides;
    const LogScope log;
    model->model_.reset(
        guarded(Errc::model_load, path, [&] { return llama_model_load_from_file(path.c_str(), raw); }));
    if (!model->model_) {
        if (progress != nullptr && progress->cancelled) {
            throw Error(Errc::model_load, "loading was cancelled", path);
        }
        throw Error(Errc::model_load, "llama.cpp cannot load it: " + log.reason(), path);
    }
    model->chat_ = guarded(Errc::model_load, path, [&] { return ChatTemplate::of(model->get()); });
    return model;
}

std::string Model::description() const {
    char text[256] = {};
    llama_model_desc(model_.get(), text, sizeof(text));
    return text;
}

std::vector<std::string> Model::labels() const {
    std::vector<std::string> out;
    for (int32_t i = 0; i < n_cls_out(); ++i) {
        if (const char * label = llama_model_cls_label(model_.get(), static_cast<uint32_t>(i))) {
            out.emplace_back(label);
        }
    }
    return out;
}

std::map<std::string, std::string> Model::metadata() const {
    std::map<std::string, std::string> all;
    std::string buffer(256, '\0');
    const auto read = [&](auto && get) {
        int32_t length = get(buffer.data(), buffer.size());
        if (length >= static_cast<int32_t>(buffer.size())) {
            buffer.resize(static_cast<size_t>(length) + 1);
            length = get(buffer.data(), buffer.size());
        }
        return buffer.substr(0, static_cast<size_t>(std::max(length, 0)));
    };
    for (int32_t i = 0; i < llama_model_meta_count(model_.get()); ++i) {
        const std::string key =
            read([&](char * to, size_t room) { return llama_model_meta_key_by_index(model_.get(), i, to, room); });
        all[key] =
            read([&](char * to, size_t room) { return llama_model_meta_val_str_by_index(model_.get(), i, to, room); });
    }
    return all;
}

std::vector<llama_token> Model::tokenize(std::string_view text, bool add_special, bool parse_special) const {
    if (text.size() > most_text) {
        throw Error(Errc::invalid_option, "a text of " + std::to_string(text.size()) + " bytes is too long", "text");
    }
    std::vector<llama_token> tokens(text.size() + 2);
    const auto run = [&] {
        return guarded(Errc::model_load, path_, [&] {
            return llama_tokenize(vocab(), text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                  static_cast<int32_t>(tokens.size()), add_special, parse_special);
        });
    };
    int32_t count = run();
    if (count < 0) {
        tokens.resize(static_cast<size_t>(-count));
        count = run();
    }
    tokens.resize(static_cast<size_t>(std::max(count, 0)));
    return tokens;
}

std::string Model::detokenize(const std::vector<llama_token> & tokens, bool special) const {
    std::string text(tokens.size() * 8 + 16, '\0');
    const auto run = [&] {
        return guarded(Errc::model_load, path_, [&] {
            return llama_detokenize(vocab(), tokens.data(), static_cast<int32_t>(tokens.size()), text.data(),
                                    static_cast<int32_t>(text.size()), /*remove_special=*/false, special);
        });
    };
    int32_t length = run();
    if (length < 0) {
        text.resize(static_cast<size_t>(-length));
        length = run();
    }
    text.resize(static_cast<size_t>(std::max(length, 0)));
    return text;
}

const TokenTable & Model::token_table() const {
    std::call_once(table_once_, [this] {
        table_ = guarded(Errc::model_load, path_, [this] { return std::make_unique<TokenTable>(vocab()); });
    });
    return *table_;
}

std::string Model::piece(llama_token token, bool special) const {
    const Guard guard;
    char small[64];
    int32_t length = llama_token_to_piece(vocab(), token, small, sizeof(small), 0, special);
    if (length >= 0) {
        return {small, static_cast<size_t>(length)};
    }
    std::string text(static_cast<size_t>(-length), '\0');
    length = llama_token_to_piece(vocab(), token, text.data(), -length, 0, special);
    text.resize(static_cast<size_t>(std::max(length, 0)));
    return text;
}

} // namespace mullama
