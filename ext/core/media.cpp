#include "media.hpp"

#include "backend.hpp"
#include "context_params.hpp"
#include "gguf_check.hpp"
#include "guard.hpp"
#include "log.hpp"
#include "mtmd_log.hpp"

#include "hash/hash.h"
#include "mtmd-helper.h"
#include "mtmd.h"

#include <algorithm>
#include <map>

namespace mullama {

namespace {

constexpr size_t min_samples = 160; // a shorter recording makes no spectrogram frame
constexpr size_t ready_bytes = size_t{64} << 20;

mtmd::bitmap_ptr bitmap_of(const Medium & medium) {
    if (medium.kind == Medium::Kind::image) {
        return mtmd::bitmap_ptr(mtmd_bitmap_init(medium.width, medium.height, medium.pixels.data()));
    }
    return mtmd::bitmap_ptr(mtmd_bitmap_init_from_audio(medium.samples.size(), medium.samples.data()));
}

// A digest of the content: attackers must not be able to make two media that pass for one another.
std::string key_of(const Medium & medium) {
    if (medium.kind == Medium::Kind::image) {
        return std::to_string(medium.width) + 'x' + std::to_string(medium.height) + ':' +
               hash_sha256_hex(medium.pixels.data(), medium.pixels.size());
    }
    return "pcm:" + hash_sha256_hex(medium.samples.data(), medium.samples.size() * sizeof(float));
}

void add_text(std::vector<PromptChunk> & chunks, const std::vector<llama_token> & tokens) {
    if (tokens.empty()) {
        return;
    }
    if (chunks.empty() || chunks.back().media) {
        chunks.emplace_back();
    }
    PromptChunk & text = chunks.back();
    text.tokens.insert(text.tokens.end(), tokens.begin(), tokens.end());
    text.n_tokens = text.n_pos = static_cast<int32_t>(text.tokens.size());
}

// What prepared media take, about: libmtmd does not say.
size_t bytes_of(const std::vector<PromptChunk> & chunks) {
    constexpr size_t spectrogram = 128 * 3000 * sizeof(float);   // 30 s of 128 mel bands
    constexpr size_t row = size_t{28} * 28 * 3 * sizeof(float);  // of a picture: 2 x 2 patches of 14 x 14
    size_t bytes = 0;
    for (const PromptChunk & chunk : chunks) {
        bytes += !chunk.media ? 0 : chunk.is_audio ? spectrogram : row * static_cast<size_t>(chunk.n_tokens);
    }
    return bytes;
}

} // namespace

void set_mtmd_log(ggml_log_callback callback) { mtmd_helper_log_set(callback, nullptr); }

void Media::Deleter::operator()(mtmd_context * context) const { mtmd_free(context); }
Media::~Media() = default;

std::shared_ptr<Media> Media::load(std::shared_ptr<const Model> model, const std::string & path,
                                   const MediaParams & params) {
    if (model->vocab_only()) {
        throw Error(Errc::model_capability, "a vocabulary alone cannot take media", model->path(),
                    "Load the model without vocab_only");
    }
    const MmprojSummary summary = check_mmproj_file(path, model->n_embd_inp());
    mtmd_context_params raw = mtmd_context_params_default();
    raw.use_gpu = params.use_gpu;
    raw.print_timings = false;
    raw.n_threads = params.threads > 0 ? params.threads : default_threads();
    raw.flash_attn_type = flash_attention_of(params.flash_attention);
    raw.warmup = true;
    if (params.image_min_tokens > 0) {
        raw.image_min_tokens = params.image_min_tokens;
    }
    if (params.image_max_tokens > 0) {
        raw.image_max_tokens = params.image_max_tokens;
    }
    const LogScope log;
    std::shared_ptr<Media> media(new Media);
    media->path_ = path;
    media->counts_pictures_ = summary.counts_pictures;
    media->model_ = std::move(model);
    media->context_.reset(guarded(Errc::model_load, path, [&] {
        return mtmd_init_from_file(path.c_str(), media->model_->get(), raw);
    }));
    if (!media->context_) {
        throw Error(Errc::model_load, "llama.cpp cannot use it with this model: " + log.reason(), path,
                    "An mmproj belongs to one language model; use the one published with yours");
    }
    return media;
}

bool Media::vision() const { return mtmd_support_vision(context_.get()); }
bool Media::audio() const { return mtmd_support_audio(context_.get()); }
int32_t Media::sample_rate() const { return audio() ? mtmd_get_audio_sample_rate(context_.get()) : 0; }

std::vector<PromptChunk> Media::tokenize(const std::vector<PromptPart> & parts, bool add_special) const {
    for (const PromptPart & part : parts) {
        check_takes(part);
    }
    if (counts_pictures_) {
        return convert(parts, add_special);
    }
    // As libmtmd does it, but for media prepared before: they depend on nothing but those beside them.
    const llama_vocab * vocab = model_->vocab();
    std::vector<PromptChunk> out;
    if (add_special && llama_vocab_get_add_bos(vocab)) {
        add_text(out, {llama_vocab_bos(vocab)});
    }
    for (size_t at = 0; at < parts.size();) {
        if (!parts[at].medium) {
            add_text(out, model_->tokenize(parts[at].text, false, parts[at].parse_special));
            ++at;
            continue;
        }
        const auto is_text = [](const PromptPart & part) { return part.medium == nullptr; };
        const auto end = std::find_if(parts.begin() + static_cast<ptrdiff_t>(at), parts.end(), is_text);
        const auto count = static_cast<size_t>(end - parts.begin()) - at;
        for (const PromptChunk & chunk : *prepare(Parts(parts).subspan(at, count))) {
            if (chunk.media) {
                out.push_back(chunk);
            } else {
                add_text(out, chunk.tokens);
            }
        }
        at += count;
    }
    if (add_special && llama_vocab_get_add_eos(vocab)) {
        add_text(out, {llama_vocab_eos(vocab)});
    }
    return out;
}

void Media::check_takes(const PromptPart & part) const {
    if (!part.medium) {
        return;
    }
    const bool is_image = part.medium->kind == Medium::Kind::image;
    if (is_image ? !vision() : !audio()) {
        throw Error(Errc::model_capability, is_image ? "it has no vision encoder" : "it has no audio encoder", path_,
                    "Use a model and mmproj made for this kind of input");
    }
    if (!is_image && part.medium->samples.size() < min_samples) {
        throw Error(Errc::media, "a recording of " + std::to_string(part.medium->samples.size()) +
                                     " samples is too short (at least " + std::to_string(min_samples) + ")");
    }
}

Media::Prepared Media::prepare(Parts media) const {
    std::string key;
    for (const PromptPart & part : media) {
        key += key_of(*part.medium) + '\n';
    }
    {
        const std::lock_guard lock(preparing_);
        const auto known = std::find_if(ready_.begin(), ready_.end(), [&](const Ready & one) { return one.key == key; });
        if (known != ready_.end()) {
            ready_.splice(ready_.begin(), ready_, known);
            return known->chunks;
        }
    }
    const auto made = std::make_shared<const std::vector<PromptChunk>>(convert(media, false));
    const size_t bytes = bytes_of(*made);
    const std::lock_guard lock(preparing_);
    if (bytes <= ready_bytes) {
        ready_.push_front({std::move(key), made, bytes});
        size_t held = 0;
        const auto over = std::find_if(ready_.begin(), ready_.end(),
                                       [&](const Ready & one) { return (held += one.bytes) > ready_bytes; });
        ready_.erase(over, ready_.end());
    }
    return made;
}

std::vector<PromptChunk> Media::convert(Parts parts, bool add_special) const {
    std::vector<mtmd_input_text> texts(parts.size());
    std::vector<mtmd::bitmap_ptr> bitmaps(parts.size());
    std::vector<mtmd_input_part> raw(parts.size());
    std::vector<const mtmd_input_part *> pointers(parts.size());
    for (size_t i = 0; i < parts.size(); ++i) {
        const PromptPart & part = parts[i];
        pointers[i] = &raw[i];
        if (!part.medium) {
            texts[i] = {part.text.data(), part.text.size(), false, part.parse_special};
            raw[i] = {&texts[i], nullptr};
            continue;
        }
        bitmaps[i] = bitmap_of(*part.medium);
        mtmd_bitmap_set_id(bitmaps[i].get(), key_of(*part.medium).c_str());
        raw[i] = {nullptr, bitmaps[i].get()};
    }

    const LogScope log;
    mtmd::input_chunks_ptr chunks(mtmd_input_chunks_init());
    const int32_t result = guarded(Errc::media, path_, [&] {
        return mtmd_tokenize_from_parts(context_.get(), chunks.get(), pointers.data(), pointers.size(), add_special);
    });
    if (result != 0) {
        throw Error(Errc::media, "llama.cpp cannot prepare the media: " + log.reason(), path_);
    }
    std::vector<PromptChunk> out;
    std::map<std::string, int32_t> pieces; // a medium may make several chunks, all with its id
    for (size_t i = 0; i < mtmd_input_chunks_size(chunks.get()); ++i) {
        const mtmd_input_chunk * chunk = mtmd_input_chunks_get(chunks.get(), i);
        PromptChunk copy;
        copy.n_tokens = static_cast<int32_t>(mtmd_input_chunk_get_n_tokens(chunk));
        copy.n_pos = mtmd_input_chunk_get_n_pos(chunk);
        const mtmd_input_chunk_type type = mtmd_input_chunk_get_type(chunk);
        if (type == MTMD_INPUT_CHUNK_TYPE_TEXT) {
            size_t count = 0;
            const llama_token * tokens = mtmd_input_chunk_get_tokens_text(chunk, &count);
            copy.tokens.assign(tokens, tokens + count);
        } else {
            copy.is_audio = type == MTMD_INPUT_CHUNK_TYPE_AUDIO;
            copy.media.reset(mtmd_input_chunk_copy(chunk), mtmd_input_chunk_free);
            const std::string id = mtmd_input_chunk_get_id(chunk);
            copy.key = id + '#' + std::to_string(pieces[id]++) + 'x' + std::to_string(copy.n_tokens);
        }
        if (copy.n_tokens > 0) {
            out.push_back(std::move(copy));
        }
    }
    return out;
}

std::vector<std::vector<float>> Media::encode(const std::vector<const PromptChunk *> & chunks) {
    const std::lock_guard lock(encoding_);
    const LogScope log;
    const mtmd::batch_ptr batch(mtmd_batch_init(context_.get()));
    size_t count = 0;
    const int32_t result = guarded(Errc::decode, path_, [&] {
        while (count < chunks.size() && mtmd_batch_add_chunk(batch.get(), chunks[count]->media.get()) == 0) {
            ++count;
        }
        return count == 0 ? 1 : mtmd_batch_encode(batch.get());
    });
    if (result != 0) {
        throw Error(Errc::decode, "llama.cpp cannot encode the media: " + log.reason(), path_);
    }
    std::vector<std::vector<float>> out;
    for (size_t i = 0; i < count; ++i) {
        const size_t size = static_cast<size_t>(chunks[i]->n_tokens) * static_cast<size_t>(model_->n_embd_inp());
        const float * rows = mtmd_batch_get_output_embd(batch.get(), chunks[i]->media.get());
        if (rows == nullptr) {
            throw Error(Errc::decode, "llama.cpp returned no embeddings", path_);
        }
        out.emplace_back(rows, rows + size);
    }
    return out;
}

bool Media::non_causal(const PromptChunk & chunk) const {
    return mtmd_decode_use_non_causal(context_.get(), chunk.media.get());
}

int32_t Media::pos_per_row() const { return mtmd_decode_use_mrope(context_.get()) ? 4 : 1; }

std::vector<llama_pos> Media::positions(const PromptChunk & chunk, llama_pos pos_0) const {
    const auto per_row = static_cast<size_t>(pos_per_row());
    const auto rows = static_cast<size_t>(chunk.n_tokens);
    std::vector<llama_pos> out(rows * per_row);
    const mtmd_image_tokens * image = chunk.is_audio ? nullptr : mtmd_input_chunk_get_tokens_image(chunk.media.get());
    for (size_t row = 0; row < rows; ++row) {
        llama_pos * to = &out[row * per_row];
        if (per_row == 1 || image == nullptr) {
            std::fill(to, to + per_row, pos_0 + static_cast<llama_pos>(row));
        } else {
            const mtmd_decoder_pos at = mtmd_image_tokens_get_decoder_pos(image, pos_0, row);
            to[0] = static_cast<llama_pos>(at.t);
            to[1] = static_cast<llama_pos>(at.y);
            to[2] = static_cast<llama_pos>(at.x);
            to[3] = static_cast<llama_pos>(at.z);
        }
    }
    return out;
}

} // namespace mullama
