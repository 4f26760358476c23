// A small llama-architecture file without a vocabulary: enough for the quantizer, which only reads
// hyperparameters and tensors.
#pragma once

#include "ggml-cpp.h"
#include "gguf.h"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

struct TempFolder {
    TempFolder() : path(std::filesystem::temp_directory_path() / ("mullama-test-" + std::to_string(counter()++))) {
        std::filesystem::create_directories(path);
    }
    ~TempFolder() { std::filesystem::remove_all(path); }
    std::string file(const std::string & name) const { return (path / name).string(); }
    std::filesystem::path path;

  private:
    static uint64_t & counter() {
        static uint64_t next = static_cast<uint64_t>(std::filesystem::file_time_type::clock::now().time_since_epoch().count());
        return next;
    }
};

// Numbers that look like weights: deterministic, mean 0, no two rows alike.
inline float weight_at(uint64_t i) {
    uint64_t x = i * 0x9E3779B97F4A7C15ULL + 1;
    x ^= x >> 31;
    x *= 0xBF58476D1CE4E5B9ULL;
    x ^= x >> 27;
    return 0.1F * static_cast<float>(std::sin(static_cast<double>(x % 100003))) + 0.001F * static_cast<float>(i % 7);
}

inline void write_tiny_gguf(const std::string & path, float value_at_100 = 0.5F) {
    constexpr int64_t n_embd = 256;
    constexpr int64_t n_ff = 512;
    constexpr int64_t n_rows = 64; // of every matrix: the quantizer does not mind, and it is quicker
    const gguf_context_ptr header(gguf_init_empty());
    gguf_set_val_str(header.get(), "general.architecture", "llama");
    gguf_set_val_str(header.get(), "general.name", "tiny");
    const std::pair<const char *, uint32_t> numbers[] = {
        {"llama.context_length", 128},      {"llama.embedding_length", n_embd}, {"llama.block_count", 2},
        {"llama.feed_forward_length", n_ff}, {"llama.attention.head_count", 4},  {"llama.vocab_size", 64},
        {"general.file_type", 0}};
    for (const auto & [key, value] : numbers) {
        gguf_set_val_u32(header.get(), key, value);
    }
    gguf_set_val_f32(header.get(), "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    const ggml_context_ptr context(ggml_init({64 << 20, nullptr, false}));
    uint64_t next = 0;
    const auto add = [&](const std::string & name, int64_t width, int64_t rows) {
        ggml_tensor * tensor = rows == 0 ? ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, width)
                                         : ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, width, rows);
        ggml_set_name(tensor, name.c_str());
        auto * values = static_cast<float *>(tensor->data);
        for (int64_t i = 0; i < ggml_nelements(tensor); ++i) {
            values[i] = weight_at(next++);
        }
        if (rows > 0) {
            values[100] = value_at_100;
        }
        gguf_add_tensor(header.get(), tensor);
    };
    add("token_embd.weight", n_embd, 64);
    add("output.weight", n_embd, 64);
    add("output_norm.weight", n_embd, 0);
    for (int layer = 0; layer < 2; ++layer) {
        const std::string block = "blk." + std::to_string(layer) + ".";
        for (const char * name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
            add(block + name + ".weight", n_embd, n_rows);
        }
        add(block + "ffn_gate.weight", n_embd, n_rows);
        add(block + "ffn_up.weight", n_embd, n_rows);
        add(block + "ffn_down.weight", n_ff, n_rows);
        add(block + "attn_norm.weight", n_embd, 0);
        add(block + "ffn_norm.weight", n_embd, 0);
    }
    gguf_write_to_file(header.get(), path.c_str(), false);
}
