#include "engine.hpp"

#include "backend.hpp"
#include "guard.hpp"
#include "log.hpp"

#include <algorithm>

namespace mullama {

namespace {

using namespace std::chrono_literals;

ggml_type cache_type_of(const std::string & name) {
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                 GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1}) {
        if (name == ggml_type_name(type)) {
            return type;
        }
    }
    throw Error(Errc::invalid_option, "no such cache type: " + name, "cache_type");
}

llama_context_params context_params(const EngineParams & params, const Model & model, std::atomic<bool> & closing) {
    llama_context_params raw = llama_context_default_params();
    const int32_t n_ctx = params.n_ctx > 0 ? params.n_ctx : model.n_ctx_train();
    raw.n_seq_max = static_cast<uint32_t>(params.n_parallel);
    raw.n_ctx = static_cast<uint32_t>(n_ctx) * raw.n_seq_max;
    raw.n_batch = static_cast<uint32_t>(params.n_batch);
    raw.n_ubatch = static_cast<uint32_t>(params.n_ubatch);
    raw.n_threads = params.threads > 0 ? params.threads : default_threads();
    raw.n_threads_batch = params.threads_batch > 0 ? params.threads_batch : raw.n_threads;
    raw.flash_attn_type = params.flash_attention == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                          : params.flash_attention == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                            : LLAMA_FLASH_ATTN_TYPE_AUTO;
    raw.type_k = cache_type_of(params.cache_type_k);
    raw.type_v = cache_type_of(params.cache_type_v);
    raw.offload_kqv = params.offload_kqv;
    raw.kv_unified = false; // each sequence has its own n_ctx and attends to nothing else
    raw.no_perf = true;
    raw.abort_callback = [](void * flag) { return static_cast<std::atomic<bool> *>(flag)->load(); };
    raw.abort_callback_data = &closing;
    return raw;
}

EngineParams consistent(EngineParams params) {
    params.n_ubatch = std::min(params.n_ubatch, params.n_batch);
    return params;
}

Error closed_error() {
    return {Errc::engine_closed, "the engine is closed", {}, "Make a new one; a closed engine takes no requests"};
}

// The prompt's format may end an answer by texts of its own.
Limits with_stops(Limits limits, const Prompt & prompt) {
    if (prompt.format) {
        limits.stop.insert(limits.stop.end(), prompt.format->stops.begin(), prompt.format->stops.end());
    }
    return limits;
}

std::unique_ptr<Constraint> constraint_of(const Model & model, const Prompt & prompt, GrammarPtr grammar) {
    const GrammarPtr own = prompt.format ? prompt.format->grammar : nullptr;
    if (grammar && own) {
        throw Error(Errc::invalid_option, "the prompt's tools constrain the answer already", "grammar",
                    "Leave the grammar out, or make the prompt with tool_choice=\"none\"");
    }
    if (!grammar && !own) {
        return nullptr;
    }
    return std::make_unique<Constraint>(grammar ? std::move(grammar) : own, model, prompt.shown_tokens());
}

} // namespace

Engine::Engine(std::shared_ptr<const Model> model, std::shared_ptr<Media> media, const EngineParams & params)
    : model_(std::move(model)), media_(std::move(media)), params_(consistent(params)) {
    if (model_->vocab_only()) {
        throw Error(Errc::model_capability, "only its vocabulary was loaded, so it cannot generate", model_->path(),
                    "Load the model without vocab_only");
    }
    if (!llama_model_has_decoder(model_->get())) {
        throw Error(Errc::model_capability, "it is an encoder and cannot generate", model_->path());
    }
    const LogScope log;
    context_.reset(guarded(Errc::model_load, model_->path(), [&] {
        return llama_init_from_model(model_->get(), context_params(params_, *model_, closing_));
    }));
    if (!context_) {
        throw Error(Errc::model_load, "llama.cpp cannot make a context for it: " + log.reason(), model_->path(),
                    "If memory is short, ask for a smaller n_ctx or n_parallel");
    }
    n_ctx_ = static_cast<int32_t>(llama_n_ctx_seq(context_.get()));
    batch_.reset(llama_batch_ext_init(context_.get()));
    for (int32_t seq = 0; seq < params_.n_parallel; ++seq) {
        slots_.emplace_back(seq);
    }
    thread_ = std::thread([this] { run(); });
}

Engine::~Engine() { close(); }

std::shared_ptr<Stream> Engine::submit(std::shared_ptr<const Prompt> prompt, const SamplingParams & sampling,
                                       const Limits & asked, GrammarPtr grammar) {
    const Limits limits = with_stops(asked, *prompt);
    std::unique_ptr<Constraint> constraint = constraint_of(*model_, *prompt, std::move(grammar));
    if (prompt->n_pos >= n_ctx_ || prompt->n_tokens >= n_ctx_) {
        throw Error(Errc::context_overflow,
                    "the prompt takes " + std::to_string(std::max(prompt->n_pos, prompt->n_tokens)) +
                        " tokens and the context holds " + std::to_string(n_ctx_),
                    "n_ctx", "Shorten the prompt or make the engine with a larger n_ctx");
    }
    for (const PromptChunk & chunk : prompt->chunks) {
        if (chunk.media && media_ && media_->non_causal(chunk) && chunk.n_tokens > params_.n_ubatch) {
            throw Error(Errc::invalid_option,
                        "a picture of " + std::to_string(chunk.n_tokens) + " tokens must fit one chunk", "n_ubatch",
                        "Make the engine with n_ubatch of at least " + std::to_string(chunk.n_tokens));
        }
    }
    std::shared_ptr<Stream> stream;
    {
        const std::lock_guard lock(queue_mutex_);
        if (broken_) {
            throw Error(*broken_);
        }
        if (closed_) {
            throw closed_error();
        }
        stream = std::make_shared<Stream>(next_id_++, static_cast<size_t>(std::max(limits.buffer_tokens, 1)), mailbox_);
        prompt_tokens_ += static_cast<uint64_t>(prompt->n_tokens);
        queue_.push_back(std::make_unique<Request>(Request{std::move(prompt), sampling, limits, stream, Clock::now(),
                                                               std::move(constraint)}));
    }
    mailbox_->wake();
    return stream;
}

void Engine::close() {
    {
        const std::lock_guard lock(queue_mutex_);
        closed_ = true;
    }
    closing_ = true;
    mailbox_->wake();
    const std::lock_guard lock(joining_);
    if (thread_.joinable()) {
        thread_.join();
    }
}

EngineCounters Engine::counters() const {
    const std::lock_guard lock(queue_mutex_);
    return {next_id_ - 1, prompt_tokens_, generated_tokens_, steps_, active_, static_cast<uint32_t>(queue_.size())};
}

void Engine::run() {
    while (!closing_) {
        drop_cancelled();
        admit();
        bool worked = false;
        try {
            worked = step();
        } catch (const Error & error) {
            // An abort inside the backend: its state is unknown, so nothing may run on it again.
            {
                const std::lock_guard lock(queue_mutex_);
                broken_ = error;
            }
            fail_all(error);
        }
        mailbox_->publish(announced_);
        announced_.clear();
        if (!worked) {
            mailbox_->wait_for_work(1s);
        }
    }
    fail_all(closed_error());
    mailbox_->publish(announced_);
    mailbox_->finish();
}

void Engine::admit() {
    for (Slot & slot : slots_) {
        if (!slot.idle()) {
            continue;
        }
        std::unique_ptr<Request> request;
        {
            const std::lock_guard lock(queue_mutex_);
            if (queue_.empty()) {
                break;
            }
            request = std::move(queue_.front());
            queue_.pop_front();
        }
        llama_memory_seq_rm(llama_get_memory(context_.get()), slot.seq(), -1, -1);
        slot.admit(std::move(request), *model_);
        ++active_;
    }
}

void Engine::drop_cancelled() {
    for (Slot & slot : slots_) {
        if (!slot.idle() && slot.stream()->cancel_requested()) {
            end(slot, Finish::cancelled);
        }
    }
    const std::lock_guard lock(queue_mutex_);
    const auto cancelled = [this](const std::unique_ptr<Request> & request) {
        if (!request->stream->cancel_requested()) {
            return false;
        }
        Terminal terminal;
        terminal.finish = Finish::cancelled;
        terminal.timings.prompt_tokens = request->prompt->n_tokens;
        request->stream->finish(std::move(terminal));
        announce(*request->stream);
        return true;
    };
    queue_.erase(std::remove_if(queue_.begin(), queue_.end(), cancelled), queue_.end());
}

bool Engine::step() {
    // At most one chunk of one medium, then everyone's text: a picture holds up the others by one
    // encoder pass or one chunk, never by the whole prompt.
    bool worked = false;
    for (size_t i = 0; i < slots_.size(); ++i) {
        Slot & slot = slots_[(next_media_ + i) % slots_.size()];
        if (slot.prefilling() && slot.chunk().media) {
            next_media_ = (next_media_ + i + 1) % slots_.size();
            worked = step_media(slot);
            break;
        }
    }
    return step_text() || worked;
}

bool Engine::encode(Slot & slot) {
    const auto start = Clock::now();
    try {
        slot.embeddings = media_->encode(slot.chunk());
    } catch (const Error & error) { // this medium's fault alone
        end(slot, Finish::error, error);
        return false;
    }
    slot.add_encode_time(ms_between(start, Clock::now()));
    return true;
}

bool Engine::step_media(Slot & slot) {
    if (slot.embeddings.empty()) {
        return encode(slot);
    }
    const PromptChunk & chunk = slot.chunk();
    const bool non_causal = media_->non_causal(chunk);
    const int32_t rows = std::min(chunk.n_tokens - slot.offset(), params_.n_ubatch);
    const auto width = static_cast<size_t>(model_->n_embd_inp());
    const auto positions = media_->positions(chunk, slot.position());
    const auto per_row = static_cast<size_t>(media_->pos_per_row());
    const bool ends_prompt = slot.last_chunk() && slot.offset() + rows == chunk.n_tokens;
    llama_batch_ext_clear(batch_.get());
    int32_t index = 0;
    for (int32_t row = slot.offset(); row < slot.offset() + rows; ++row) {
        const llama_embd embedding{&slot.embeddings[static_cast<size_t>(row) * width], 1, width};
        index = llama_batch_ext_add_embd(batch_.get(), slot.seq(), embedding);
        llama_batch_ext_set_pos(batch_.get(), index, &positions[static_cast<size_t>(row) * per_row]);
    }
    llama_batch_ext_set_output_logits(batch_.get(), index, ends_prompt);
    if (non_causal) {
        llama_set_causal_attn(context_.get(), false);
    }
    const int32_t result = process(batch_.get());
    if (non_causal) {
        llama_set_causal_attn(context_.get(), true);
    }
    if (result != 0) {
        end(slot, Finish::error, Error(Errc::decode, "llama.cpp failed on a medium, code " + std::to_string(result)));
        return true;
    }
    slot.advance(rows);
    if (ends_prompt) {
        sample(slot, index);
    }
    return true;
}

bool Engine::step_text() {
    struct Output {
        Slot * slot;
        int32_t row;
    };
    std::vector<Output> outputs;
    std::vector<std::pair<Slot *, int32_t>> prefilled;
    llama_batch_ext_clear(batch_.get());
    int32_t budget = params_.n_batch;
    for (Slot & slot : slots_) {
        if (slot.ready_to_decode() && budget > 0) {
            const int32_t row = llama_batch_ext_add_token(batch_.get(), slot.seq(), slot.next_token());
            const llama_pos position = slot.position();
            llama_batch_ext_set_pos(batch_.get(), row, &position);
            llama_batch_ext_set_output_logits(batch_.get(), row, true);
            outputs.push_back({&slot, row});
            --budget;
        }
    }
    if (!outputs.empty()) {
        budget = std::min(budget, params_.n_ubatch);
    }
    const size_t decoders = outputs.size();
    for (Slot & slot : slots_) {
        if (!slot.prefilling() || slot.chunk().media || budget == 0) {
            continue;
        }
        const PromptChunk & chunk = slot.chunk();
        const int32_t rows = std::min(chunk.n_tokens - slot.offset(), budget);
        int32_t row = 0;
        for (int32_t i = slot.offset(); i < slot.offset() + rows; ++i) {
            row = llama_batch_ext_add_token(batch_.get(), slot.seq(), chunk.tokens[static_cast<size_t>(i)]);
            const llama_pos position = slot.position() + i;
            llama_batch_ext_set_pos(batch_.get(), row, &position);
        }
        if (slot.last_chunk() && slot.offset() + rows == chunk.n_tokens) {
            llama_batch_ext_set_output_logits(batch_.get(), row, true);
            outputs.push_back({&slot, row});
        }
        prefilled.emplace_back(&slot, rows);
        budget -= rows;
    }
    if (outputs.empty() && prefilled.empty()) {
        return false;
    }
    const int32_t result = process(batch_.get());
    if (result != 0) {
        if (!closing_) {
            fail_all(Error(Errc::decode, "llama.cpp failed to evaluate a batch, code " + std::to_string(result)));
        }
        return true;
    }
    for (const auto & [slot, rows] : prefilled) {
        slot->advance(rows);
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
        if (i < decoders) {
            outputs[i].slot->token_evaluated();
        }
        sample(*outputs[i].slot, outputs[i].row);
    }
    return true;
}

int32_t Engine::process(llama_batch_ext * batch) {
    ++steps_;
    return guarded(Errc::decode, model_->path(),
                   [&] { return llama_process(context_.get(), LLAMA_PROCESS_TYPE_DECODE, batch); });
}

void Engine::sample(Slot & slot, int32_t row) {
    const std::shared_ptr<Stream> stream = slot.stream(); // the slot lets go of it at the end
    const float * logits = llama_get_logits_ith(context_.get(), row);
    if (logits == nullptr) {
        end(slot, Finish::error, Error(Errc::decode, "llama.cpp returned no logits"));
        return;
    }
    ++generated_tokens_;
    if (slot.sample(logits, *model_, n_ctx_)) {
        --active_;
    }
    announce(*stream);
}

// After the event is in the stream: a reader that subscribed too late for this saw the event.
void Engine::announce(const Stream & stream) {
    if (stream.subscribed()) {
        announced_.push_back(stream.id());
    }
}

void Engine::end(Slot & slot, Finish finish, std::optional<Error> error) {
    const std::shared_ptr<Stream> stream = slot.stream();
    slot.finish(finish, std::move(error));
    --active_;
    announce(*stream);
}

void Engine::fail_all(const Error & error) {
    for (Slot & slot : slots_) {
        if (!slot.idle()) {
            end(slot, Finish::error, error);
        }
    }
    const std::lock_guard lock(queue_mutex_);
    for (const auto & request : queue_) {
        Terminal terminal;
        terminal.finish = Finish::error;
        terminal.error = error;
        request->stream->finish(std::move(terminal));
        announce(*request->stream);
    }
    queue_.clear();
}

} // namespace mullama
