// Requests for embeddings and scores: what is asked, and the evaluations that keep states.
#include "engine.hpp"

#include "model.hpp"

#include <algorithm>
#include <map>

namespace mullama {

namespace {

// Of a text of which the last row alone is wanted, so many are evaluated with their states; the others
// are spared the output matrix. ggml's flash attention takes 64 rows at once and rounds otherwise for
// fewer.
constexpr int32_t tail_rows = 64;

Pooling kind_of(const std::string & name) {
    static const std::map<std::string, Pooling> kinds = {
        {"none", Pooling::none}, {"mean", Pooling::mean}, {"cls", Pooling::cls}, {"last", Pooling::last}};
    const auto found = kinds.find(name);
    if (found == kinds.end()) {
        throw Error(Errc::invalid_option, "no such pooling: " + name, "EmbeddingParams.pooling");
    }
    return found->second;
}

Error made_otherwise(const std::string & made, const std::string & wanted) {
    return {Errc::invalid_option, "the engine was made with pooling=\"" + made + "\"", "EngineParams.pooling",
            "Make it with EngineParams(pooling=\"" + wanted + "\")"};
}

std::string numbered(const char * items, size_t i) { return std::string(items) + "[" + std::to_string(i) + "]"; }

} // namespace

int32_t Engine::max_embedding_tokens() const {
    return whole_ ? std::min(n_ctx_, params_.n_ubatch) : n_ctx_;
}

std::shared_ptr<const Prompt> Engine::fitting(std::shared_ptr<const Prompt> prompt, bool truncate,
                                              const std::string & where) const {
    const int32_t most = max_embedding_tokens();
    if (prompt->has_media && whole_) {
        throw Error(Errc::model_capability, "the model takes text only", where);
    }
    check_media(*prompt);
    const int32_t takes = std::max(prompt->n_tokens, prompt->n_pos);
    if (takes <= most) {
        return prompt;
    }
    if (truncate && !prompt->has_media) {
        return truncated(std::move(prompt), *model_, most);
    }
    const std::string need = std::to_string(takes);
    const bool by_batch = most < n_ctx_;
    const bool by_model = learned_positions_ && most == model_->n_ctx_train();
    throw Error(Errc::context_overflow,
                "it takes " + need + " tokens and the engine can use " + std::to_string(most), where,
                by_batch   ? "Make the engine with n_batch and n_ubatch of at least " + need + ", or truncate"
                : by_model ? "The model has no more positions: truncate it or take it in pieces"
                           : "Make the engine with n_ctx of at least " + need + ", or truncate");
}

std::vector<std::shared_ptr<Stream>> Engine::embed(const std::vector<std::shared_ptr<const Prompt>> & prompts,
                                                   const EmbeddingParams & params,
                                                   std::shared_ptr<const AdapterSet> adapters) {
    if (params_.pooling == "off" || params_.pooling == "rank") {
        throw made_otherwise(params_.pooling, "model");
    }
    const Pooling kind = kind_of(params.pooling.empty() ? params_.pooling : params.pooling);
    std::vector<std::unique_ptr<Request>> requests;
    for (size_t i = 0; i < prompts.size(); ++i) {
        auto prompt = fitting(prompts[i], params.truncate, numbered("prompts", i));
        auto pooler = std::make_unique<Pooler>(kind, model_->n_embd_out(), *prompt, params);
        requests.push_back(make_state_request(std::move(prompt), std::move(pooler), params));
        requests.back()->adapters = adapted_whole(adapters, *requests.back()->prompt);
    }
    return enqueue(std::move(requests));
}

std::vector<std::shared_ptr<Stream>> Engine::score(const std::vector<std::shared_ptr<const Prompt>> & prompts,
                                                   const ScoreParams & params,
                                                   std::shared_ptr<const AdapterSet> adapters) {
    if (params_.pooling != "rank") {
        throw made_otherwise(params_.pooling, "rank");
    }
    std::vector<std::unique_ptr<Request>> requests;
    for (size_t i = 0; i < prompts.size(); ++i) {
        auto prompt = fitting(prompts[i], params.truncate, numbered("documents", i));
        auto pooler = std::make_unique<Pooler>(model_->n_cls_out(), *prompt);
        requests.push_back(make_state_request(std::move(prompt), std::move(pooler), params));
        requests.back()->adapters = adapted_whole(adapters, *requests.back()->prompt);
    }
    return enqueue(std::move(requests));
}

Adapted Engine::adapted_whole(const std::shared_ptr<const AdapterSet> & set, const Prompt & prompt) const {
    Adapted out = adapted(set, *model_, prompt);
    if (whole_ && out.from > 0) {
        throw Error(Errc::model_capability, "an activated LoRA cannot act on a part of a text whose rows see each other",
                    model_->path());
    }
    return out;
}

int32_t Engine::text_rows(const Slot & slot) const {
    const Pooler * pooler = slot.request().pooler.get();
    const int32_t rows = slot.chunk().n_tokens - slot.offset();
    if (pooler == nullptr) {
        return rows;
    }
    if (whole_ || pooler->wants_all()) {
        return 0;
    }
    return !slot.last_chunk() ? rows : rows < 2 * tail_rows ? 0 : rows - tail_rows;
}

bool Engine::wants_states(const Slot & slot) const {
    return slot.prefilling() && slot.request().pooler && !slot.chunk().media && in_turn(slot) && text_rows(slot) == 0;
}

// Who gets how many rows of the next evaluation that keeps states, in order of the sequences. Rows
// are shared alike, so that short texts are done at once while a long one goes on; where a text
// must be evaluated whole, the first to come goes first and others fill what is left.
std::vector<std::pair<Slot *, int32_t>> Engine::share_states(int32_t budget) {
    std::vector<std::pair<Slot *, int32_t>> shares;
    for (Slot & slot : slots_) {
        if (wants_states(slot)) {
            shares.emplace_back(&slot, std::min(slot.chunk().n_tokens - slot.offset(), slot.alike_rows()));
        }
    }
    std::sort(shares.begin(), shares.end(), [this](const auto & a, const auto & b) {
        return whole_ ? a.first->last_used() < b.first->last_used() : a.second < b.second;
    });
    auto waiting = static_cast<int32_t>(shares.size());
    for (auto & [slot, rows] : shares) {
        const int32_t most = whole_ ? budget : std::min(budget, std::max(1, budget / waiting));
        rows = rows <= most ? rows : whole_ ? 0 : most;
        budget -= rows;
        --waiting;
    }
    std::erase_if(shares, [](const auto & share) { return share.second == 0; });
    std::sort(shares.begin(), shares.end(),
              [](const auto & a, const auto & b) { return a.first->seq() < b.first->seq(); });
    return shares;
}

// One evaluation of at most `budget` rows whose states are kept; returns how many there were.
int32_t Engine::step_states(int32_t budget) {
    const bool others = std::any_of(slots_.begin(), slots_.end(), [this](const Slot & slot) {
        return slot.prefilling() && !slot.chunk().media && in_turn(slot) && text_rows(slot) > 0;
    });
    const auto shares = share_states(std::min(others ? (budget + 1) / 2 : budget, params_.n_ubatch));
    if (shares.empty()) {
        return 0;
    }
    batch_.clear();
    for (const auto & [slot, rows] : shares) {
        for (int32_t i = slot->offset(); i < slot->offset() + rows; ++i) {
            batch_.add(slot->chunk().tokens[static_cast<size_t>(i)], slot->position() + i, slot->seq(), true);
        }
    }
    const int32_t size = batch_.size();
    const int32_t result = process(true);
    prefill_rows_ += static_cast<uint64_t>(size);
    int32_t row = 0;
    for (const auto & [slot, rows] : shares) {
        if (result == 0) {
            keep_states(*slot, row, rows, slot->last_chunk() && slot->offset() + rows == slot->chunk().n_tokens);
        } else if (!closing_) {
            end(*slot, Finish::error, Error(Errc::decode, "llama.cpp failed on a text, code " + std::to_string(result)));
        }
        row += rows;
    }
    return size;
}

void Engine::keep_states(Slot & slot, int32_t first_row, int32_t rows, bool ends_prompt) {
    Pooler & pooler = *slot.request().pooler;
    const int32_t wanted = !pooler.ranks() ? rows : ends_prompt ? 1 : 0;
    for (int32_t i = 0; i < wanted; ++i) {
        const float * states = pooler.ranks() ? llama_get_embeddings_seq(context_.get(), slot.seq())
                                              : llama_get_embeddings_ith(context_.get(), first_row + i);
        if (states == nullptr) {
            end(slot, Finish::error, Error(Errc::decode, "llama.cpp returned no states"));
            return;
        }
        pooler.add(states);
    }
    slot.advance(rows);
    if (ends_prompt) {
        end(slot, Finish::stop);
    }
}

} // namespace mullama
