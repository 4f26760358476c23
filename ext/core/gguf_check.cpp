#include "gguf_check.hpp"

#include "gguf_file.hpp"

#include <cstring>

namespace mullama {

namespace {

// Frames that a Whisper-style encoder makes of its 30 s window; a projector stacks them.
constexpr uint32_t whisper_frames = 1500;

void check_tower(const GgufFile & file, const std::string & modality) {
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
    const GgufFile file(path);
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
    const GgufFile file(path);
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
