#include "gguf_check.hpp"

#include "gguf_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <set>
#include <string_view>

namespace mullama {

namespace {

// Frames that a Whisper-style encoder makes of its 30 s window; a projector stacks them.
constexpr uint32_t whisper_frames = 1500;

// Types that files are never made of: ggml has no product with them and crashes or aborts on one.
bool is_weight_type(ggml_type type) {
    switch (type) {
        case GGML_TYPE_I8:
        case GGML_TYPE_I16:
        case GGML_TYPE_F64:
        case GGML_TYPE_Q8_1:
        case GGML_TYPE_Q8_K: return false;
        default: return true;
    }
}

bool holds(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// What is added to or multiplied with single-precision rows, and so must be single precision itself:
// ggml finds out while it computes, on a thread of its own, and aborts.
bool is_added(const GgufTensor & tensor) {
    const std::string & name = tensor.name;
    return name.ends_with(".bias") || (tensor.rows() == 1 && holds(name, "norm")) || name == "v.class_embd";
}

// rows: whether every tensor of a single row is of that kind, as in an mmproj.
void check_types(const GgufFile & file, bool rows) {
    for (const GgufTensor & tensor : file.tensors()) {
        const std::string type = ggml_type_name(tensor.type);
        if (!is_weight_type(tensor.type)) {
            throw file.fail(tensor.name + " is of type " + type + ", with which nothing can be computed");
        }
        if ((is_added(tensor) || (rows && tensor.rows() == 1)) && tensor.type != GGML_TYPE_F32) {
            throw file.fail(tensor.name + " is of type " + type + " and must be f32");
        }
        if (tensor.size == 0) {
            throw file.fail(tensor.name + " is empty");
        }
    }
}

// ggml checks what it adds to a variance while it computes, too.
void check_epsilons(const GgufFile & file) {
    for (int64_t id = 0; id < gguf_get_n_kv(file.get()); ++id) {
        const std::string key = gguf_get_key(file.get(), id);
        if (!key.ends_with("epsilon") && !key.ends_with("_eps")) {
            continue;
        }
        const float value = file.real(key.c_str()).value_or(0.0F);
        if (!std::isfinite(value) || value < 0) {
            throw file.fail(key + " is " + std::to_string(value));
        }
    }
}

using Names = std::set<std::string, std::less<>>;

// Upstream takes many tensors if they are there, and then uses some of them anyway.
void check_attention(const GgufFile & file, const Names & names, const std::string & block) {
    if (names.count(block + "attn_out.weight") == 0 || names.count(block + "attn_qkv.weight") > 0) {
        return;
    }
    for (const char * part : {"attn_q", "attn_k", "attn_v"}) {
        if (names.count(block + part + ".weight") == 0) {
            throw file.fail("it lacks " + block + part + ".weight");
        }
    }
}

void demand(const GgufFile & file, const Names & names, std::initializer_list<const char *> wanted) {
    for (const char * name : wanted) {
        if (names.count(name) == 0) {
            throw file.fail(std::string("it lacks ") + name);
        }
    }
}

void demand_f32(const GgufFile & file, const char * name) {
    const int64_t id = gguf_find_tensor(file.get(), name);
    if (id >= 0 && gguf_get_tensor_type(file.get(), id) != GGML_TYPE_F32) {
        throw file.fail(std::string(name) + " is of type " + ggml_type_name(gguf_get_tensor_type(file.get(), id)) +
                        " and must be f32");
    }
}

std::string projector_of(const GgufFile & file, const std::string & modality) {
    const std::string shared = file.text("clip.projector_type");
    return shared.empty() ? file.text(("clip." + modality + ".projector_type").c_str()) : shared;
}

bool is_one_of(const std::string & name, std::initializer_list<const char *> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// Encoders in Whisper's form, and the common forms of vision transformers.
void check_form(const GgufFile & file, const Names & names, const std::string & modality) {
    const std::string projector = projector_of(file, modality);
    if (modality == "audio" && is_one_of(projector, {"ultravox", "qwen2a", "voxtral", "glma", "musicflamingo", "meralion"})) {
        if (file.number("clip.audio.block_count").value_or(0) == 0) {
            throw file.fail("clip.audio.block_count is 0");
        }
        demand(file, names, {"a.position_embd.weight", "a.blk.0.ln1.weight", "a.blk.0.ln2.weight"});
        demand_f32(file, "a.position_embd.weight");
    }
    if (modality == "vision" &&
        is_one_of(projector, {"mlp", "ldp", "ldpv2", "resampler", "gemma3", "idefics3", "pixtral", "internvl", "llama4",
                              "lfm2", "kimivl", "qwen2vl_merger", "qwen2.5vl_merger", "nemotron_v2_vl"})) {
        demand(file, names, {"v.patch_embd.weight"});
    }
    if (modality == "vision" && projector == "nemotron_v2_vl") {
        demand_f32(file, "v.position_embd.weight"); // others take rows out of it, of any type
    }
}

void check_tower(const GgufFile & file, const Names & names, const std::string & modality) {
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
    const uint32_t blocks = std::min<uint32_t>(file.number((prefix + "block_count").c_str()).value_or(0), 4096);
    for (uint32_t block = 0; block < blocks; ++block) {
        check_attention(file, names, modality.substr(0, 1) + ".blk." + std::to_string(block) + ".");
    }
    check_form(file, names, modality);
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
    check_types(file, false);
    check_epsilons(file);
}

MmprojSummary check_mmproj_file(const std::string & path, int32_t n_embd) {
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
    check_types(file, true);
    check_epsilons(file);
    Names names;
    for (const GgufTensor & tensor : file.tensors()) {
        names.insert(tensor.name);
    }
    for (const auto & [present, modality] : {std::pair{vision, "vision"}, std::pair{audio, "audio"}}) {
        if (present) {
            check_tower(file, names, modality);
        }
    }
    if (audio && projector_of(file, "audio") == "ultravox") {
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
    return {vision && projector_of(file, "vision") == "hunyuanvl"};
}

} // namespace mullama
