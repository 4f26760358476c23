#include "guard.hpp"
#include "log.hpp"
#include "quantize.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <regex>

namespace mullama {

namespace {

struct Named {
    const char * name;
    llama_ftype ftype;
    ggml_type type; // of most tensors
};

constexpr Named named_types[] = {
    {"F32", LLAMA_FTYPE_ALL_F32, GGML_TYPE_F32},
    {"F16", LLAMA_FTYPE_MOSTLY_F16, GGML_TYPE_F16},
    {"BF16", LLAMA_FTYPE_MOSTLY_BF16, GGML_TYPE_BF16},
    {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0, GGML_TYPE_Q8_0},
    {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K, GGML_TYPE_Q6_K},
    {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M, GGML_TYPE_Q5_K},
    {"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S, GGML_TYPE_Q5_K},
    {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1, GGML_TYPE_Q5_1},
    {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0, GGML_TYPE_Q5_0},
    {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M, GGML_TYPE_Q4_K},
    {"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S, GGML_TYPE_Q4_K},
    {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1, GGML_TYPE_Q4_1},
    {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0, GGML_TYPE_Q4_0},
    {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL, GGML_TYPE_IQ4_NL},
    {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS, GGML_TYPE_IQ4_XS},
    {"MXFP4_MOE", LLAMA_FTYPE_MOSTLY_MXFP4_MOE, GGML_TYPE_MXFP4},
    {"Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L, GGML_TYPE_Q3_K},
    {"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M, GGML_TYPE_Q3_K},
    {"Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S, GGML_TYPE_Q3_K},
    {"IQ3_M", LLAMA_FTYPE_MOSTLY_IQ3_M, GGML_TYPE_IQ3_S},
    {"IQ3_S", LLAMA_FTYPE_MOSTLY_IQ3_S, GGML_TYPE_IQ3_S},
    {"IQ3_XS", LLAMA_FTYPE_MOSTLY_IQ3_XS, GGML_TYPE_IQ3_S},
    {"IQ3_XXS", LLAMA_FTYPE_MOSTLY_IQ3_XXS, GGML_TYPE_IQ3_XXS},
    {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K, GGML_TYPE_Q2_K},
    {"Q2_K_S", LLAMA_FTYPE_MOSTLY_Q2_K_S, GGML_TYPE_Q2_K},
    {"Q2_0", LLAMA_FTYPE_MOSTLY_Q2_0, GGML_TYPE_Q2_0},
    {"IQ2_M", LLAMA_FTYPE_MOSTLY_IQ2_M, GGML_TYPE_IQ2_S},
    {"IQ2_S", LLAMA_FTYPE_MOSTLY_IQ2_S, GGML_TYPE_IQ2_XS},
    {"IQ2_XS", LLAMA_FTYPE_MOSTLY_IQ2_XS, GGML_TYPE_IQ2_XS},
    {"IQ2_XXS", LLAMA_FTYPE_MOSTLY_IQ2_XXS, GGML_TYPE_IQ2_XXS},
    {"TQ2_0", LLAMA_FTYPE_MOSTLY_TQ2_0, GGML_TYPE_TQ2_0},
    {"TQ1_0", LLAMA_FTYPE_MOSTLY_TQ1_0, GGML_TYPE_TQ1_0},
    {"IQ1_M", LLAMA_FTYPE_MOSTLY_IQ1_M, GGML_TYPE_IQ1_M},
    {"IQ1_S", LLAMA_FTYPE_MOSTLY_IQ1_S, GGML_TYPE_IQ1_S},
    {"Q1_0", LLAMA_FTYPE_MOSTLY_Q1_0, GGML_TYPE_Q1_0},
};

// What ggml_quantize_chunk() can make.
constexpr ggml_type tensor_types[] = {
    GGML_TYPE_F32,     GGML_TYPE_F16,    GGML_TYPE_BF16,    GGML_TYPE_Q8_0,    GGML_TYPE_Q6_K,  GGML_TYPE_Q5_K,
    GGML_TYPE_Q5_1,    GGML_TYPE_Q5_0,   GGML_TYPE_Q4_K,    GGML_TYPE_Q4_1,    GGML_TYPE_Q4_0,  GGML_TYPE_IQ4_NL,
    GGML_TYPE_IQ4_XS,  GGML_TYPE_MXFP4,  GGML_TYPE_NVFP4,   GGML_TYPE_Q3_K,    GGML_TYPE_IQ3_S, GGML_TYPE_IQ3_XXS,
    GGML_TYPE_Q2_K,    GGML_TYPE_Q2_0,   GGML_TYPE_IQ2_S,   GGML_TYPE_IQ2_XS,  GGML_TYPE_IQ2_XXS,
    GGML_TYPE_TQ2_0,   GGML_TYPE_TQ1_0,  GGML_TYPE_IQ1_M,   GGML_TYPE_IQ1_S,   GGML_TYPE_Q1_0,
};

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

ggml_type tensor_type_of(const std::string & name, const std::string & where) {
    for (const ggml_type type : tensor_types) {
        if (lower(name) == lower(ggml_type_name(type))) {
            return type;
        }
    }
    throw Error(Errc::invalid_option, "no such tensor type: " + name, where);
}

const Named & file_type_of(const std::string & name) {
    for (const Named & type : named_types) {
        if (lower(name) == lower(type.name)) {
            return type;
        }
    }
    throw Error(Errc::invalid_option, "no such quantization type: " + name, "type");
}

// All files of a model that may be split, first file first.
std::vector<std::string> files_of(const std::string & path) {
    const GgufFile first(path);
    const int64_t count_id = gguf_find_key(first.get(), "split.count");
    const int64_t no_id = gguf_find_key(first.get(), "split.no");
    const auto value = [&](int64_t id) -> int {
        return id >= 0 && gguf_get_kv_type(first.get(), id) == GGUF_TYPE_UINT16 ? gguf_get_val_u16(first.get(), id) : 0;
    };
    const int count = value(count_id);
    if (count <= 1) {
        return {path};
    }
    std::vector<char> prefix(path.size() + 1);
    if (value(no_id) != 0 || llama_split_prefix(prefix.data(), prefix.size(), path.c_str(), 0, count) == 0) {
        throw first.fail("it is not the first file of a split model", "Name the file that ends in -00001-of-" +
                                                                          std::to_string(count) + ".gguf");
    }
    std::vector<std::string> files;
    std::vector<char> file(path.size() + 64);
    for (int i = 0; i < count; ++i) {
        llama_split_path(file.data(), file.size(), prefix.data(), i, count);
        files.emplace_back(file.data());
    }
    return files;
}

bool needs_imatrix(const TensorPlan & tensor, llama_ftype ftype) {
    const std::string & name = tensor.from.name;
    if (tensor.from.type == tensor.to) {
        return false;
    }
    if (ggml_quantize_requires_imatrix(tensor.to)) {
        return true;
    }
    if (name == "token_embd.weight" || name == "per_layer_token_embd.weight" || name == "output.weight") {
        return false;
    }
    return tensor.to == GGML_TYPE_IQ3_XXS || tensor.to == GGML_TYPE_IQ2_S || tensor.to == GGML_TYPE_IQ1_M ||
           (tensor.to == GGML_TYPE_Q2_K && ftype == LLAMA_FTYPE_MOSTLY_Q2_K_S);
}

// The C structures that upstream's quantizer reads, and what they point into.
class Request {
  public:
    Request(const QuantizePlan & plan, const QuantizeParams & params) : raw(llama_model_quantize_default_params()) {
        raw.ftype = plan.ftype;
        raw.dry_run = true;
        raw.nthread = 1;
        raw.pure = params.pure;
        raw.keep_split = params.keep_split;
        raw.only_copy = plan.only_copy;
        raw.allow_requantize = true;
        raw.quantize_output_tensor = !params.leave_output;
        if (!params.output_type.empty()) {
            raw.output_tensor_type = tensor_type_of(params.output_type, "output_type");
        }
        if (!params.token_embedding_type.empty()) {
            raw.token_embedding_type = tensor_type_of(params.token_embedding_type, "token_embedding_type");
        }
        add_overrides(params.tensor_types);
        if (plan.imatrix && !plan.imatrix->columns.empty()) {
            for (const auto & [name, values] : plan.imatrix->columns) {
                imatrix_.push_back({name.c_str(), values.data(), values.size()});
            }
            imatrix_.push_back({nullptr, nullptr, 0});
            raw.imatrix = imatrix_.data();
        }
    }

    llama_model_quantize_params raw;

  private:
    void add_overrides(const std::vector<std::string> & rules) {
        patterns_.reserve(rules.size());
        for (const std::string & rule : rules) {
            const size_t equals = rule.rfind('=');
            if (equals == std::string::npos || equals == 0) {
                throw Error(Errc::invalid_option, "'" + rule + "' is not of the form regex=type", "tensor_types",
                            "For example: attn_v=q6_k");
            }
            patterns_.push_back(rule.substr(0, equals));
            try {
                const std::regex compiled(patterns_.back());
            } catch (const std::regex_error & error) {
                throw Error(Errc::invalid_option, "'" + patterns_.back() + "' is not a regular expression: " + error.what(),
                            "tensor_types");
            }
            overrides_.push_back({patterns_.back().c_str(), tensor_type_of(rule.substr(equals + 1), "tensor_types")});
        }
        if (!overrides_.empty()) {
            overrides_.push_back({nullptr, GGML_TYPE_COUNT});
            raw.tt_overrides = overrides_.data();
        }
    }

    std::vector<std::string> patterns_;
    std::vector<llama_model_tensor_override> overrides_;
    std::vector<llama_model_imatrix_data> imatrix_;
};

// One line of the dry run: "[  1/ 99] NAME - [ shape], type = q4_1, size = 1.00 MiB -> 0.50 MiB (q4_K)".
// The new type is missing where nothing changes.
struct Line {
    std::string name;
    std::string type; // empty: unchanged
};

std::optional<Line> parse(std::string_view text) {
    static const std::regex form(R"(^\[ *\d+/ *\d+\] (.+?) +- \[[^\]]*\], type = +\S+, size = [^(]*(?:\((\S+)\))?$)");
    std::match_results<std::string_view::const_iterator> match;
    if (!std::regex_match(text.begin(), text.end(), match, form)) {
        return std::nullopt;
    }
    return Line{match[1].str(), match[2].str()};
}

TensorPlan planned(const GgufTensor & from, size_t file, const std::string & type) {
    TensorPlan tensor{from, file, from.type, from.size};
    if (type.empty()) {
        return tensor;
    }
    tensor.to = tensor_type_of(type, from.name);
    if (from.shape[0] % ggml_blck_size(tensor.to) != 0) {
        throw Error(Errc::invalid_option,
                    "its rows of " + std::to_string(from.shape[0]) + " weights do not fit the blocks of " + type + ", " +
                        std::to_string(ggml_blck_size(tensor.to)) + " each",
                    from.name, "Give it another type");
    }
    tensor.size = static_cast<uint64_t>(from.rows()) * ggml_row_size(tensor.to, from.shape[0]);
    return tensor;
}

} // namespace

std::vector<FileType> file_types() {
    std::vector<FileType> all;
    for (const Named & type : named_types) {
        all.push_back({type.name, 8.0 * static_cast<double>(ggml_type_size(type.type)) / static_cast<double>(ggml_blck_size(type.type))});
    }
    return all;
}

std::vector<std::string> tensor_type_names() {
    std::vector<std::string> all;
    for (const ggml_type type : tensor_types) {
        all.push_back(lower(ggml_type_name(type)));
    }
    return all;
}

QuantizePlan plan_quantization(const std::string & source, const std::string & type, const QuantizeParams & params) {
    QuantizePlan plan;
    plan.only_copy = lower(type) == "copy";
    plan.type = plan.only_copy ? "COPY" : file_type_of(type).name;
    plan.ftype = plan.only_copy ? LLAMA_FTYPE_ALL_F32 : file_type_of(type).ftype;
    if (!params.imatrix.empty()) {
        plan.imatrix = Imatrix::load(params.imatrix);
        plan.imatrix->filter(params.include_weights, params.exclude_weights);
    }
    plan.sources = files_of(source);
    std::map<std::string, std::pair<size_t, GgufTensor>> tensors;
    for (size_t i = 0; i < plan.sources.size(); ++i) {
        const GgufFile file(plan.sources[i]);
        for (GgufTensor & tensor : file.tensors()) {
            std::string name = tensor.name;
            tensors.emplace(std::move(name), std::pair{i, std::move(tensor)});
        }
    }

    Request request(plan, params);
    std::vector<Line> lines;
    const LogScope log;
    const LogTap tap([&](std::string_view text) {
        if (auto line = parse(text)) {
            lines.push_back(std::move(*line));
        }
    });
    const uint32_t status = guarded(Errc::model_load, source,
                                    [&] { return llama_model_quantize(source.c_str(), "", &request.raw); });
    if (status != 0) {
        throw Error(Errc::model_load, "llama.cpp cannot read it as a model: " + log.reason(), source);
    }
    plan.warnings = log.reason();
    for (const Line & line : lines) {
        const auto found = tensors.find(line.name);
        if (found == tensors.end()) {
            throw Error(Errc::quantize, "llama.cpp planned for a tensor that is not in the file: " + line.name, source);
        }
        plan.tensors.push_back(planned(found->second.second, found->second.first, line.type));
        tensors.erase(found);
    }
    if (!tensors.empty()) {
        throw Error(Errc::quantize, "llama.cpp left " + tensors.begin()->first + " out of its plan", source);
    }
    for (const TensorPlan & tensor : plan.tensors) {
        plan.source_bytes += tensor.from.size;
        plan.target_bytes += tensor.size;
        const bool measured = plan.imatrix && plan.imatrix->columns.count(tensor.from.name) > 0;
        if (needs_imatrix(tensor, plan.ftype) && !measured) {
            plan.missing_imatrix.push_back(tensor.from.name);
        }
        if (ggml_is_quantized(tensor.from.type) && tensor.to != tensor.from.type) {
            plan.requantized.push_back(tensor.from.name);
        }
    }
    return plan;
}

} // namespace mullama
