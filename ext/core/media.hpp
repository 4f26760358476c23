// The vision and audio encoders of an mmproj, through libmtmd. media.cpp alone includes mtmd.h.
#pragma once

#include "model.hpp"
#include "shared.hpp"

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

struct mtmd_context;
struct mtmd_input_chunk;

namespace mullama {

struct MediaParams {
    bool use_gpu = true;
    int32_t threads = 0;          // 0: as many as the machine has for arithmetic
    std::string flash_attention = "auto"; // auto, on, off
    int32_t image_min_tokens = 0; // 0: what the model says
    int32_t image_max_tokens = 0;
};

// A picture or recording as it goes into a prompt.
struct Medium {
    enum class Kind { image, audio } kind = Kind::image;
    uint32_t width = 0;            // image only, pixels
    uint32_t height = 0;
    std::vector<uint8_t> pixels;   // RGB, height * width * 3
    std::vector<float> samples;    // audio: mono, at Media::sample_rate()
};

// A part of a prompt between media, or one piece of a medium (a picture may make several).
struct PromptChunk {
    std::vector<llama_token> tokens;                // text chunk
    std::shared_ptr<const mtmd_input_chunk> media;  // media chunk, preprocessed, not yet encoded
    std::string key;                                // media: the same content has the same key
    bool is_audio = false;
    int32_t n_tokens = 0; // rows in the batch
    int32_t n_pos = 0;    // positions in the sequence (differs from n_tokens under M-RoPE)
};

// A prompt part before tokenisation.
struct PromptPart {
    std::string text;
    bool parse_special = true;
    std::shared_ptr<const Medium> medium; // set: a medium, text unused
};

class Media : public Shared<Media> {
  public:
    // Blocks. Throws Error(model_load) naming the file and the reason.
    static std::shared_ptr<Media> load(std::shared_ptr<const Model> model, const std::string & path,
                                       const MediaParams & params);
    ~Media();

    const std::string & path() const { return path_; }
    bool vision() const;
    bool audio() const;
    int32_t sample_rate() const; // Hz; 0 without audio

    // Tokenises text and preprocesses media, or remembers how they were: of the last ones, as many as
    // take 64 MiB. Thread-safe; blocks for the preprocessing.
    std::vector<PromptChunk> tokenize(const std::vector<PromptPart> & parts, bool add_special) const;

    // Embeddings of media chunks, n_tokens rows of n_embd_inp floats each: of the first and of as many
    // after it as the encoder takes in one pass. Serialised by a lock; blocks for that pass.
    std::vector<std::vector<float>> encode(const std::vector<const PromptChunk *> & chunks);

    bool non_causal(const PromptChunk & chunk) const; // its rows attend to each other both ways
    int32_t pos_per_row() const;                      // 4 under M-RoPE, else 1
    // Positions of the chunk's rows when it starts at pos_0: pos_per_row() values a row, row-major.
    std::vector<llama_pos> positions(const PromptChunk & chunk, llama_pos pos_0) const;

  private:
    using Parts = std::span<const PromptPart>;
    using Prepared = std::shared_ptr<const std::vector<PromptChunk>>;
    struct Ready {
        std::string key;
        Prepared chunks;
        size_t bytes; // about
    };

    Media() = default;
    void check_takes(const PromptPart & part) const;
    std::vector<PromptChunk> convert(Parts parts, bool add_special) const; // by libmtmd
    Prepared prepare(Parts media) const;

    struct Deleter {
        void operator()(mtmd_context * context) const;
    };
    std::string path_;
    std::shared_ptr<const Model> model_; // outlives the context below
    std::unique_ptr<mtmd_context, Deleter> context_;
    bool counts_pictures_ = false; // so a picture cannot be prepared without those before it
    std::mutex encoding_;
    mutable std::mutex preparing_;
    mutable std::list<Ready> ready_; // most recently used first
};

} // namespace mullama
