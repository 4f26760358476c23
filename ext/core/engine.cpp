#include "engine.hpp"

#include "bell.hpp"
#include "context.hpp"
#include "guard.hpp"
#include "model_tensors.hpp"

#include <algorithm>

namespace mullama {

namespace {

using namespace std::chrono_literals;

EngineParams consistent(EngineParams params) {
    params.n_ubatch = std::min(params.n_ubatch, params.n_batch);
    params.prefill_chunk = std::min(params.prefill_chunk, params.n_batch);
    return params;
}

Error encoder_error(const Model & model) {
    return {Errc::model_capability, "it is an encoder and cannot generate", model.path(),
            "For embeddings make the engine with EngineParams(pooling=\"model\") and ask with embed()"};
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

Engine::Engine(std::shared_ptr<const Model> model, std::shared_ptr<Media> media, const EngineParams & params,
               std::shared_ptr<const Model> draft)
    : model_(std::move(model)), media_(std::move(media)), params_(consistent(params)),
      queue_(static_cast<size_t>(params.max_queue)) {
    if (model_->vocab_only()) {
        throw Error(Errc::model_capability, "only its vocabulary was loaded, so it cannot generate", model_->path(),
                    "Load the model without vocab_only");
    }
    params_.pooling = pooling_of(*model_, params.pooling);
    if (params_.pooling != "off" && params_.speculative.kind != "off") {
        throw Error(Errc::invalid_option, "an engine that guesses makes no embeddings", "speculative",
                    "Leave speculative off, or pooling");
    }
    context_ = make_context(*model_, params_, closing_);
    encoder_only_ = !llama_model_has_decoder(model_->get()) || llama_get_memory(context_.get()) == nullptr;
    if (encoder_only_ && params_.pooling == "off") {
        throw encoder_error(*model_);
    }
    whole_ = encoder_only_ || !llama_get_causal_attn(context_.get());
    if (encoder_only_) { // sequences cost no memory here: as many texts at once as may be
        EngineParams many = params_;
        many.n_parallel = std::min(params_.n_ubatch, static_cast<int32_t>(llama_max_parallel_sequences()));
        context_ = make_context(*model_, many, closing_);
    }
    n_ctx_ = static_cast<int32_t>(llama_n_ctx_seq(context_.get()));
    params_.n_batch = static_cast<int32_t>(llama_n_batch(context_.get())); // no more than all the context that was asked for
    params_.n_ubatch = static_cast<int32_t>(llama_n_ubatch(context_.get()));
    params_ = consistent(params_);
    learned_positions_ = has_tensor(*model_, "position_embd.weight");
    if (learned_positions_) { // llama.cpp ends the process at one more
        n_ctx_ = std::min(n_ctx_, model_->n_ctx_train());
    }
    batch_ = common_batch(context_.get());
    if (params_.speculative.kind != "off") {
        speculation_ = std::make_unique<Speculation>(params_.speculative, context_.get(), *model_, std::move(draft),
                                                     stoppable_params(*model_, params_, closing_));
    }
    for (int32_t seq = 0; seq < static_cast<int32_t>(llama_n_seq_max(context_.get())); ++seq) {
        slots_.emplace_back(seq, active_, generated_tokens_);
    }
    if (media_) {
        encoder_ = std::make_unique<Encoder>(media_, static_cast<size_t>(params_.media_cache_mb) << 20U,
                                             [mailbox = mailbox_] { mailbox->wake(); });
    }
    thread_ = std::thread([this] { run(); });
}

Engine::~Engine() { close(); }

std::shared_ptr<Stream> Engine::submit(std::shared_ptr<const Prompt> prompt, const SamplingParams & sampling,
                                       const Limits & asked, bool asks_for_logits, GrammarPtr grammar,
                                       std::shared_ptr<const AdapterSet> adapters, uint64_t session) {
    if (encoder_only_) {
        throw encoder_error(*model_);
    }
    const Limits limits = with_stops(asked, *prompt);
    std::unique_ptr<Constraint> constraint = constraint_of(*model_, *prompt, std::move(grammar));
    if (prompt->n_pos >= n_ctx_ || prompt->n_tokens >= n_ctx_) {
        throw Error(Errc::context_overflow,
                    "the prompt takes " + std::to_string(std::max(prompt->n_pos, prompt->n_tokens)) +
                        " tokens and the context holds " + std::to_string(n_ctx_),
                    "n_ctx", "Shorten the prompt or make the engine with a larger n_ctx");
    }
    check_media(*prompt);
    auto request = make_request(*model_, std::move(prompt), sampling, limits, asks_for_logits);
    request->constraint = std::move(constraint);
    request->adapters = adapted(std::move(adapters), *model_, *request->prompt);
    request->session = session;
    std::vector<std::unique_ptr<Request>> requests;
    requests.push_back(std::move(request));
    return enqueue(std::move(requests)).front();
}

void Engine::check_media(const Prompt & prompt) const {
    for (const PromptChunk & chunk : prompt.chunks) {
        if (chunk.media && media_ && media_->non_causal(chunk) && chunk.n_tokens > params_.n_ubatch) {
            throw Error(Errc::invalid_option,
                        "a picture of " + std::to_string(chunk.n_tokens) + " tokens must fit one chunk", "n_ubatch",
                        "Make the engine with n_ubatch of at least " + std::to_string(chunk.n_tokens));
        }
    }
}

std::vector<std::shared_ptr<Stream>> Engine::enqueue(std::vector<std::unique_ptr<Request>> requests) {
    std::vector<std::shared_ptr<Stream>> streams;
    {
        const std::lock_guard lock(queue_mutex_);
        if (broken_) {
            throw Error(*broken_);
        }
        if (closed_) {
            throw closed_error();
        }
        if (queue_.room() < requests.size()) {
            throw Error(Errc::overloaded,
                        std::to_string(queue_.size()) + " requests are waiting already, and " +
                            std::to_string(requests.size()) + " more are too many",
                        "max_queue", "Try again later, or make the engine with a larger max_queue or n_parallel");
        }
        for (const auto & request : requests) {
            check_session(request->session);
        }
        for (auto & request : requests) {
            const auto buffer = static_cast<size_t>(std::max(request->limits.buffer_tokens, 1));
            streams.push_back(std::make_shared<Stream>(next_id_++, buffer, mailbox_));
            request->stream = streams.back();
            prompt_tokens_ += static_cast<uint64_t>(request->prompt->n_tokens);
            queue_.push(std::move(request));
        }
    }
    mailbox_->wake();
    return streams;
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
    if (encoder_) {
        encoder_->close();
    }
}

EngineCounters Engine::counters() const {
    const std::lock_guard lock(queue_mutex_);
    return {next_id_ - 1, prompt_tokens_, reused_tokens_, generated_tokens_, drafted_tokens_, accepted_tokens_,
            steps_, shifts_, prefill_rows_, decode_rows_, prefill_us_, decode_us_, sampling_us_,
            encoder_ ? encoder_->counters() : EncoderCounters{}, active_, static_cast<uint32_t>(queue_.size())};
}

void Engine::run() {
    const Guard guard; // nothing that is called from here may end the process
    while (!closing_) {
        bool worked = false;
        try {
            const auto due = commands_.take();
            drop_ended();
            for (const auto & command : due) {
                command->run();
            }
            admit();
            worked = timed_step();
        } catch (const Error & error) {
            give_up(error);
        } catch (const std::exception & error) {
            give_up(Error(Errc::decode, std::string("the engine failed: ") + error.what(), model_->path()));
        }
        ring();
        if (!worked) {
            mailbox_->wait_for_work(until_deadline());
        }
    }
    fail_all(closed_error());
    commands_.close(closed_error());
    ring();
}

// An abort inside the backend, or no memory: the state is unknown, so nothing may run on it again.
void Engine::give_up(const Error & error) {
    if (closing_) {
        return; // an evaluation that was stopped; all requests end with another error presently
    }
    {
        const std::lock_guard lock(queue_mutex_);
        broken_ = error;
    }
    fail_all(error);
    commands_.close(error);
}

void Engine::admit() {
    while (std::any_of(slots_.begin(), slots_.end(), [](const Slot & slot) { return slot.idle(); })) {
        {
            const std::lock_guard lock(queue_mutex_);
            for (Slot & slot : slots_) {
                queue_.charge(slot.client(), slot.take_cost());
            }
            admitting_ = queue_.take([this](const Request & candidate) {
                const auto open = [&](const Slot & slot) { return open_to(slot, candidate); };
                return std::any_of(slots_.begin(), slots_.end(), open) && !worth_waiting(candidate);
            });
        }
        if (!admitting_) {
            return;
        }
        Prefix prefix;
        Slot * slot = prepare_slot(*admitting_, &prefix);
        reused_tokens_ += static_cast<uint64_t>(prefix.rows);
        slot->admit(std::move(admitting_), prefix, ++clock_, *model_);
        if (speculation_) {
            speculation_->begin(slot->seq(), slot->history());
        }
    }
}

void Engine::drop_ended() {
    const auto now = Clock::now();
    const auto how = [now](const Request & request) -> std::optional<Finish> {
        if (request.stream->cancel_requested()) {
            return Finish::cancelled;
        }
        return request.deadline() <= now ? std::optional(Finish::deadline) : std::nullopt;
    };
    for (Slot & slot : slots_) {
        if (const auto finish = slot.idle() ? std::nullopt : how(slot.request())) {
            end(slot, *finish);
        }
    }
    std::vector<std::unique_ptr<Request>> ended;
    {
        const std::lock_guard lock(queue_mutex_);
        ended = queue_.take_if([&](const Request & request) { return how(request).has_value(); });
    }
    for (auto & request : ended) {
        const Finish finish = how(*request).value_or(Finish::cancelled);
        end(std::move(request), finish);
    }
}

std::chrono::milliseconds Engine::until_deadline() const {
    auto next = Clock::now() + 1s;
    for (const Slot & slot : slots_) {
        next = slot.idle() ? next : std::min(next, slot.request().deadline());
    }
    const std::lock_guard lock(queue_mutex_);
    next = std::min(next, queue_.deadline());
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()), 0ms);
}

// After the event is in the stream: a reader that subscribed too late for this saw the event.
void Engine::announce(const Stream & stream) {
    if (auto bell = stream.bell()) {
        bell->add(stream.id());
        if (std::find(bells_.begin(), bells_.end(), bell) == bells_.end()) {
            bells_.push_back(std::move(bell));
        }
    }
}

void Engine::ring() {
    for (const auto & bell : bells_) {
        bell->ring();
    }
    bells_.clear();
}

void Engine::end(Slot & slot, Finish finish, std::optional<Error> error) {
    const std::shared_ptr<Stream> stream = slot.stream();
    slot.finish(finish, std::move(error));
    announce(*stream);
}

void Engine::end(std::unique_ptr<Request> request, Finish finish, std::optional<Error> error) {
    Terminal terminal;
    terminal.finish = finish;
    terminal.error = std::move(error);
    terminal.timings.prompt_tokens = request->prompt->n_tokens;
    request->stream->finish(std::move(terminal));
    announce(*request->stream);
}

void Engine::fail_all(const Error & error) {
    for (Slot & slot : slots_) {
        if (!slot.idle()) {
            end(slot, Finish::error, error);
        }
    }
    std::vector<std::unique_ptr<Request>> waiting;
    {
        const std::lock_guard lock(queue_mutex_);
        waiting = queue_.take_if([](const Request &) { return true; });
    }
    if (admitting_) {
        waiting.push_back(std::move(admitting_));
    }
    for (auto & request : waiting) {
        end(std::move(request), Finish::error, error);
    }
}

} // namespace mullama
