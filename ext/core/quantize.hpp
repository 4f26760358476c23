// Writing a model with weights of another type.
//
// llama_model_quantize() can neither report progress nor be stopped, its worker threads abort the
// process on weights that a quantizer cannot take, and it says nothing useful about a full disk. So
// it only plans: its dry run decides the type of every tensor, exactly as llama-quantize would. The
// converting and writing is ours, on ggml's public row quantizers: progress and cancellation after
// every few rows, every worker under a Guard, every write checked.
#pragma once

#include "gguf_file.hpp"
#include "imatrix.hpp"

#include "llama.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mullama {

struct QuantizeParams {
    std::string imatrix;                      // file; empty: none
    std::vector<std::string> include_weights; // imatrix entries to use, by part of the name
    std::vector<std::string> exclude_weights;
    std::vector<std::string> tensor_types;    // "regex=type", the first that matches a tensor's name wins
    std::string output_type;                  // of output.weight; empty: what the file type says
    std::string token_embedding_type;
    bool pure = false;
    bool leave_output = false;
    bool allow_requantize = false;
    bool keep_split = false;
    int32_t threads = 0; // 0: all
};

struct TensorPlan {
    GgufTensor from;
    size_t file = 0; // index into QuantizePlan::sources
    ggml_type to = GGML_TYPE_F32;
    uint64_t size = 0; // bytes afterwards
};

struct QuantizePlan {
    std::string type;
    llama_ftype ftype = LLAMA_FTYPE_ALL_F32;
    std::vector<std::string> sources;          // files of the model, one unless it is split
    std::vector<TensorPlan> tensors;           // in the order they are written
    std::optional<Imatrix> imatrix;
    std::vector<std::string> missing_imatrix;  // tensors whose new type needs an importance matrix
    std::vector<std::string> requantized;      // tensors that are quantized already and would change
    std::string warnings;                      // what llama.cpp said about it
    uint64_t source_bytes = 0;                 // of all tensors
    uint64_t target_bytes = 0;
    bool only_copy = false;
};

// Watched and cancelled from another thread.
struct QuantizeProgress {
    std::atomic<uint64_t> done{0};  // bytes of source converted
    std::atomic<uint64_t> total{0};
    std::atomic<bool> cancelled{false};
};

struct FileType {
    std::string name;      // "Q4_K_M"
    double bits_per_weight; // of most of its tensors; the mixes need a little more
};
std::vector<FileType> file_types();          // a model can be written as
std::vector<std::string> tensor_type_names(); // one tensor can be written as

// Decides every tensor's type without writing. Throws Error(invalid_option | model_load).
QuantizePlan plan_quantization(const std::string & source, const std::string & type, const QuantizeParams & params);

// Carries out a plan. Blocks; every file appears whole under its name or not at all. Throws
// Error(quantize | quantize_cancelled | model_load | invalid_option). Returns the files written.
std::vector<std::string> quantize(const QuantizePlan & plan, const std::string & target, const QuantizeParams & params,
                                  QuantizeProgress & progress);

// Rows of `from` (src, rows * row_size(from)) to rows of `to` in dst. imatrix: width floats or null.
// Throws std::runtime_error for weights that are not finite.
void convert_rows(ggml_type from, const uint8_t * src, ggml_type to, uint8_t * dst, int64_t rows, int64_t width,
                  const float * imatrix);

} // namespace mullama
