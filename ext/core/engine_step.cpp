// One step of the scheduler: at most one chunk of one medium, then everyone's text in one batch.
#include "engine.hpp"

#include "guard.hpp"

#include <algorithm>
#include <utility>

namespace mullama {

namespace {

// Logits of so many rows take at most 64 MiB.
int32_t scored_rows(const Model & model) { return std::max(16, (16 << 20) / model.n_vocab()); }

uint64_t us_since(Clock::time_point start) {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
}

} // namespace

bool Engine::timed_step() {
    const uint64_t rows = prefill_rows_;
    const uint64_t sampling = sampling_us_;
    const auto start = Clock::now();
    const bool worked = step();
    if (worked) {
        (prefill_rows_ == rows ? decode_us_ : prefill_us_) += us_since(start) - (sampling_us_ - sampling);
    }
    return worked;
}

bool Engine::step() {
    bool worked = resume();
    take_turn();
    bool decoding = false;
    for (Slot & slot : slots_) {
        decoding = decoding || (slot.ready_to_decode() && in_turn(slot));
        if (encoder_ && slot.prefilling()) {
            slot.want_media(*encoder_);
        }
    }
    // While others decode, all prompts together get one chunk a step; else as much as fits.
    int32_t budget = decoding ? params_.prefill_chunk : params_.n_batch;
    for (size_t i = 0; i < slots_.size(); ++i) {
        Slot & slot = slots_[(next_media_ + i) % slots_.size()];
        if (!slot.prefilling() || !slot.chunk().media || slot.encoding() == nullptr || !in_turn(slot)) {
            continue;
        }
        next_media_ = (next_media_ + i + 1) % slots_.size();
        worked = step_media(slot, std::min(budget, params_.n_ubatch)) || worked;
        budget = decoding ? 0 : budget;
        break;
    }
    if (params_.pooling != "off") {
        const int32_t rows = step_states(budget);
        worked = worked || rows > 0;
        budget -= decoding ? rows : 0;
    }
    return step_text(budget) || worked;
}

bool Engine::has_work(const Slot & slot) const {
    return slot.ready_to_decode() || (slot.prefilling() && (!slot.chunk().media || slot.encoding() != nullptr));
}

// One batch has one set of adapters. Requests with the same one run together; the sets take turns of
// a few steps, since every change costs a new plan of the graph.
void Engine::take_turn() {
    constexpr int32_t steps_a_turn = 8;
    const Slot * other = nullptr;
    bool mine = false;
    for (size_t i = 0; i < slots_.size(); ++i) {
        const Slot & slot = slots_[(next_turn_ + i) % slots_.size()];
        if (slot.idle() || !has_work(slot)) {
            continue;
        }
        if (in_turn(slot)) {
            mine = true;
        } else if (other == nullptr) {
            other = &slot;
        }
    }
    ++steps_in_turn_;
    if (other == nullptr || (mine && steps_in_turn_ < steps_a_turn)) {
        return;
    }
    static const AdapterSet none;
    const std::shared_ptr<const AdapterSet> next = other->acting();
    apply(context_.get(), *model_, next ? *next : none);
    applied_ = next;
    plan_due_ = true;
    steps_in_turn_ = 0;
    next_turn_ = static_cast<size_t>(other - slots_.data()) + 1;
}

bool Engine::step_media(Slot & slot, int32_t budget) {
    const Encoding & encoding = *slot.encoding();
    if (encoding.error) { // this medium's fault alone
        end(slot, Finish::error, encoding.error);
        return true;
    }
    const PromptChunk & chunk = slot.chunk();
    const bool non_causal = media_->non_causal(chunk); // its rows see each other: all in one go
    const int32_t rows = non_causal ? chunk.n_tokens : std::min(chunk.n_tokens - slot.offset(), budget);
    const auto width = static_cast<size_t>(model_->n_embd_inp());
    const auto positions = media_->positions(chunk, slot.position());
    const auto per_row = static_cast<size_t>(media_->pos_per_row());
    const bool ends_chunk = slot.offset() + rows == chunk.n_tokens;
    const bool ends_prompt = slot.last_chunk() && ends_chunk;
    const bool last_counts = ends_prompt || (ends_chunk && slot.scoring());
    const Pooler * pooler = slot.request().pooler.get();
    const bool states = pooler != nullptr && (ends_prompt || pooler->wants_all());
    batch_.clear();
    int32_t index = 0;
    for (int32_t row = slot.offset(); row < slot.offset() + rows; ++row) {
        const llama_embd embedding{&encoding.rows[static_cast<size_t>(row) * width], 1, width};
        const bool output = states || (last_counts && row + 1 == slot.offset() + rows);
        index = batch_.add_embd(embedding, &positions[static_cast<size_t>(row) * per_row], slot.seq(), output);
    }
    if (non_causal) {
        llama_set_causal_attn(context_.get(), false);
    }
    const int32_t result = process(states);
    if (non_causal) {
        llama_set_causal_attn(context_.get(), true);
    }
    if (result != 0) {
        if (!closing_) {
            end(slot, Finish::error, Error(Errc::decode, "llama.cpp failed on a medium, code " + std::to_string(result)));
        }
        return true;
    }
    prefill_rows_ += static_cast<uint64_t>(rows);
    if (states) {
        keep_states(slot, 0, rows, ends_prompt);
        return true;
    }
    if (ends_chunk && slot.scoring()) {
        score_rows(slot, index, chunk.n_tokens - 1, 1);
    }
    slot.advance(rows);
    if (ends_prompt) {
        sample(slot, index);
    }
    return true;
}

void Engine::add_decode_rows(std::vector<Output> * outputs) {
    for (Slot & slot : slots_) {
        if (slot.ready_to_decode() && in_turn(slot) && (!slot.full(n_ctx_) || make_room(slot))) {
            outputs->push_back({&slot, 0, {}});
        }
    }
    if (speculation_) {
        guess(outputs);
    }
    for (Output & output : *outputs) {
        const Slot & slot = *output.slot;
        llama_pos position = slot.position();
        output.row = batch_.add(slot.next_token(), position, slot.seq(), true);
        for (const llama_token token : output.guess) {
            batch_.add(token, ++position, slot.seq(), true);
        }
    }
}

// Guesses for every sequence that has room for them in its context, its stream and the batch.
void Engine::guess(std::vector<Output> * outputs) {
    std::vector<Guess> guesses;
    const auto sequences = static_cast<int32_t>(outputs->size());
    const int32_t share = sequences == 0 ? 0 : params_.n_batch / sequences - 1;
    for (const Output & output : *outputs) {
        const int32_t most = std::min({output.slot->worth_guessing(params_.speculative.draft_max), share, output.slot->room(n_ctx_)});
        if (most > 0) {
            guesses.push_back({output.slot->seq(), output.slot->position(), output.slot->next_token(),
                               &output.slot->history(), most, {}});
        }
    }
    if (guesses.empty()) {
        return;
    }
    guarded(Errc::decode, model_->path(), [&] {
        speculation_->guess(guesses);
        return 0;
    });
    for (Guess & guess : guesses) {
        for (Output & output : *outputs) {
            if (output.slot->seq() == guess.seq) {
                output.guess = std::move(guess.tokens);
            }
        }
    }
}

// Samples from the rows of one sequence for as long as it goes on as guessed; what was evaluated
// beyond that is taken back. The tokens are those that sampling one by one would give.
void Engine::check(const Output & output) {
    Slot & slot = *output.slot;
    const llama_seq_id seq = slot.seq();
    size_t accepted = 0;
    slot.count_guess(output.guess.size(), 0);
    drafted_tokens_ += output.guess.size();
    while (true) {
        slot.token_evaluated();
        sample(slot, output.row + static_cast<int32_t>(accepted));
        if (slot.idle() || slot.went_back() || accepted == output.guess.size() || slot.next_token() != output.guess[accepted]) {
            break;
        }
        ++accepted;
        slot.count_guess(0, 1);
        ++accepted_tokens_;
    }
    if (output.guess.empty()) {
        return;
    }
    slot.guessed(accepted, output.guess.size(), params_.speculative.draft_max);
    if (accepted < output.guess.size()) {
        llama_memory_seq_rm(llama_get_memory(context_.get()), seq, slot.trace().positions(), -1);
        speculation_->keep_until(seq, slot.trace().positions());
    }
    speculation_->accepted(seq, accepted);
}

bool Engine::step_text(int32_t prefill_budget) {
    std::vector<Output> outputs;
    std::vector<Prefilled> prefilled;
    batch_.clear();
    add_decode_rows(&outputs);
    const size_t decoders = outputs.size();
    int32_t budget = std::min(prefill_budget, params_.n_batch - batch_.size());
    for (Slot & slot : slots_) {
        if (!slot.prefilling() || slot.chunk().media || budget <= 0 || !in_turn(slot)) {
            continue;
        }
        const PromptChunk & chunk = slot.chunk();
        const int32_t most = slot.scoring() ? std::min(budget, scored_rows(*model_)) : budget;
        const int32_t rows = std::min({text_rows(slot), most, slot.alike_rows()});
        if (rows == 0) {
            continue;
        }
        const bool ends_prompt = slot.last_chunk() && slot.offset() + rows == chunk.n_tokens;
        int32_t row = 0;
        for (int32_t i = slot.offset(); i < slot.offset() + rows; ++i) {
            const bool output = slot.scoring() || (ends_prompt && i + 1 == slot.offset() + rows);
            row = batch_.add(chunk.tokens[static_cast<size_t>(i)], slot.position() + i, slot.seq(), output);
        }
        if (ends_prompt) {
            outputs.push_back({&slot, row, {}});
        }
        prefilled.push_back({&slot, rows, row + 1 - rows});
        budget -= rows;
    }
    if (outputs.empty() && prefilled.empty()) {
        return false;
    }
    const int32_t result = process();
    if (result != 0) {
        if (!closing_) {
            fail_all(Error(Errc::decode, "llama.cpp failed to evaluate a batch, code " + std::to_string(result)));
        }
        return true;
    }
    if (prefilled.empty()) {
        decode_rows_ += static_cast<uint64_t>(batch_.size());
    }
    for (const auto & [slot, rows, first] : prefilled) {
        prefill_rows_ += static_cast<uint64_t>(rows);
        if (slot->scoring()) {
            score_rows(*slot, first, slot->offset(), rows);
        }
        slot->advance(rows);
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
        if (i < decoders) {
            check(outputs[i]);
        } else {
            sample(*outputs[i].slot, outputs[i].row);
        }
    }
    return true;
}

// states: of every row of the batch, instead of what generation needs.
int32_t Engine::process(bool states) {
    ++steps_;
    const auto planning = std::exchange(plan_due_, false) ? lock_adapter_lists() : std::unique_lock<std::mutex>();
    return guarded(Errc::decode, model_->path(), [&] {
        if (params_.pooling != "off") {
            llama_set_embeddings(context_.get(), states);
        }
        const llama_process_type type = encoder_only_ ? LLAMA_PROCESS_TYPE_ENCODE : LLAMA_PROCESS_TYPE_DECODE;
        const int32_t result = llama_process(context_.get(), type, batch_.get());
        return result == 0 && speculation_ && !speculation_->evaluated(batch_) ? -1 : result;
    });
}

// `rows` rows of the batch from `first` on are those of the slot's chunk from `from` on.
void Engine::score_rows(Slot & slot, int32_t first, int32_t from, int32_t rows) {
    for (int32_t i = 0; i < rows; ++i) {
        if (const float * logits = llama_get_logits_ith(context_.get(), first + i)) {
            slot.score(from + i, logits);
        }
    }
}

void Engine::sample(Slot & slot, int32_t row) {
    const float * logits = llama_get_logits_ith(context_.get(), row);
    if (logits == nullptr) {
        end(slot, Finish::error, Error(Errc::decode, "llama.cpp returned no logits"));
        return;
    }
    if (slot.request().asks_for_logits && slot.request().limits.max_tokens != 0) {
        slot.ask(logits);
        announce(*slot.stream());
        return;
    }
    choose(slot, logits);
}

void Engine::choose(Slot & slot, const float * logits) {
    const std::shared_ptr<Stream> stream = slot.stream(); // the slot lets go of it at the end
    const auto start = Clock::now();
    slot.sample(logits, *model_, n_ctx_);
    sampling_us_ += us_since(start);
    if (!slot.idle() && slot.went_back()) {
        if (speculation_) {
            speculation_->keep_until(slot.seq(), slot.position());
        }
        if (!llama_memory_seq_rm(llama_get_memory(context_.get()), slot.seq(), slot.position(), -1)) {
            end(slot, Finish::error,
                Error(Errc::model_capability, "its memory cannot go back, which banned strings need", model_->path()));
            return;
        }
    }
    announce(*stream);
}

bool Engine::resume() {
    bool worked = false;
    for (Slot & slot : slots_) {
        if (slot.idle() || !slot.asking()) {
            continue;
        }
        if (const auto logits = slot.answer()) {
            choose(slot, logits->data());
            worked = true;
        }
    }
    return worked;
}

} // namespace mullama
