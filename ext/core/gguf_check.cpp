#include "gguf_check.hpp"

#include "guard.hpp"
#include "log.hpp"

#include "gguf.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

namespace mullama {

namespace fs = std::filesystem;

namespace {

// Frames that a Whisper-style encoder makes of its 30 s window; a projector stacks them.
constexpr uint32_t whisper_frames = 1500;

class Header {
  public:
    explicit Header(const std::string & path) : path_(path), file_(nullptr, gguf_free) {
        check_magic();
        const LogScope log;
        gguf_init_params params{/*no_alloc=*/true, /*ctx=*/nullptr};
        file_.reset(guarded(Errc::model_load, path, [&] { return gguf_init_from_file(path.c_str(), params); }));
        if (!file_) {
            throw fail("its GGUF header cannot be read: " + log.reason(), "The file is damaged; get it again");
        }
        check_size();
    }

    Error fail(const std::string & what, const std::string & hint = {}) const {
        return {Errc::model_load, what, path_, hint};
    }

    std::string text(const char * key) const {
        const int64_t id = gguf_find_key(file_.get(), key);
        return id >= 0 && gguf_get_kv_type(file_.get(), id) == GGUF_TYPE_STRING ? gguf_get_val_str(file_.get(), id) : "";
    }

    std::optional<uint32_t> number(const char * key) const {
        const int64_t id = gguf_find_key(file_.get(), key);
        if (id < 0 || gguf_get_kv_type(file_.get(), id) != GGUF_TYPE_UINT32) {
            return std::nullopt;
        }
        return gguf_get_val_u32(file_.get(), id);
    }

    bool flag(const char * key) const {
        const int64_t id = gguf_find_key(file_.get(), key);
        return id >= 0 && gguf_get_kv_type(file_.get(), id) == GGUF_TYPE_BOOL && gguf_get_val_bool(file_.get(), id);
    }

  private:
    void check_magic() const {
        std::error_code error;
        if (!fs::exists(path_, error)) {
            throw fail("there is no such file");
        }
        if (fs::is_directory(path_, error)) {
            throw fail("it is a folder", "Name the .gguf file inside it");
        }
        std::ifstream in(path_, std::ios::binary);
        char magic[4] = {};
        if (!in) {
            throw fail("it cannot be opened", "Check its permissions");
        }
        if (!in.read(magic, 4) || std::memcmp(magic, "GGUF", 4) != 0) {
            throw fail("it is not a GGUF file");
        }
    }

    // Every tensor must end inside the file.
    void check_size() const {
        const uint64_t have = fs::file_size(path_);
        uint64_t need = gguf_get_data_offset(file_.get());
        for (int64_t i = 0; i < gguf_get_n_tensors(file_.get()); ++i) {
            const uint64_t end = gguf_get_data_offset(file_.get()) + gguf_get_tensor_offset(file_.get(), i) +
                                 gguf_get_tensor_size(file_.get(), i);
            need = std::max(need, end);
        }
        if (gguf_get_n_tensors(file_.get()) > 0 && have < need) {
            throw fail("it is truncated: " + std::to_string(have) + " of " + std::to_string(need) + " bytes",
                       "Get it again; an interrupted download looks like this");
        }
    }

    std::string path_;
    std::unique_ptr<gguf_context, decltype(&gguf_free)> file_;
};

void check_tower(const Header & file, const std::string & modality) {
    const std::string prefix = "clip." + modality + ".";
    for (const char * key : {"embedding_length", "feed_forward_length", "block_count", "attention.head_count"}) {
        const auto value = file.number((prefix + key).c_str());
        if (value && *value == 0 && std::strcmp(key, "block_count") != 0) {
            throw file.fail(prefix + key + " is 0");
        }
    }
    const auto width = file.number((prefix + "embedding_length").c_str());
    const auto heads = file.number((prefix + "attention.head_count").c_str());
    if (width && heads && *heads > 0 && *width % *heads != 0) {
        throw file.fail(prefix + "embedding_length " + std::to_string(*width) + " is not a multiple of its " +
                        std::to_string(*heads) + " heads");
    }
}

} // namespace

void check_model_file(const std::string & path) {
    const Header file(path);
    const std::string arch = file.text("general.architecture");
    if (arch.empty()) {
        throw file.fail("it names no general.architecture", "It is a GGUF file but not a model");
    }
    if (arch == "clip") {
        throw file.fail("it is an mmproj (a vision or audio projector), not a language model",
                        "Pass it as mmproj beside its language model");
    }
}

void check_mmproj_file(const std::string & path, int32_t n_embd) {
    const Header file(path);
    if (file.text("general.architecture") != "clip") {
        throw file.fail("it is not an mmproj: its architecture is '" + file.text("general.architecture") + "'",
                        "An mmproj file is published beside the model it belongs to");
    }
    const bool vision = file.flag("clip.has_vision_encoder");
    const bool audio = file.flag("clip.has_audio_encoder");
    if (!vision && !audio && !file.flag("clip.has_llava_projector")) {
        throw file.fail("it holds neither a vision nor an audio encoder");
    }
    for (const auto & [present, modality] : {std::pair{vision, "vision"}, std::pair{audio, "audio"}}) {
        if (present) {
            check_tower(file, modality);
        }
    }
    const std::string projector = file.text("clip.audio.projector_type").empty() ? file.text("clip.projector_type")
                                                                                 : file.text("clip.audio.projector_type");
    if (audio && projector == "ultravox") {
        const auto stack = file.number("clip.audio.projector.stack_factor").value_or(0);
        if (stack == 0 || whisper_frames % stack != 0) {
            throw file.fail("clip.audio.projector.stack_factor " + std::to_string(stack) + " does not divide the " +
                            std::to_string(whisper_frames) + " frames of the encoder's window");
        }
        const auto width = file.number("clip.audio.projection_dim");
        if (width && static_cast<int32_t>(*width) != n_embd) {
            throw file.fail("its audio projector is " + std::to_string(*width) + " wide, the language model " +
                                std::to_string(n_embd),
                            "It belongs to another language model");
        }
    }
}

} // namespace mullama
