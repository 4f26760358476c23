#include "imatrix.hpp"

#include "gguf_file.hpp"
#include "guard.hpp"
#include "log.hpp"

#include "imatrix-loader.h" // llama.cpp's common

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace mullama {

namespace {

bool is_gguf(const std::string & path) {
    std::ifstream in(path, std::ios::binary);
    char magic[4] = {};
    return in.read(magic, 4) && std::memcmp(magic, "GGUF", 4) == 0;
}

Error broken(const std::string & path, const std::string & why) {
    return {Errc::model_load, "it is not an importance matrix: " + why, path};
}

// Upstream trusts the lengths in the older format; walk them first.
void check_legacy(const std::string & path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        throw Error(Errc::model_load, "there is no such file, or it cannot be opened", path);
    }
    std::error_code error;
    const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
    const auto number = [&](const char * what, int64_t at_most) {
        int32_t value = 0;
        if (!in.read(reinterpret_cast<char *>(&value), sizeof(value)) || value < 0 || value > at_most) {
            throw broken(path, std::string("bad ") + what);
        }
        return static_cast<int64_t>(value);
    };
    const auto skip = [&](int64_t bytes) {
        if (bytes > size - static_cast<int64_t>(in.tellg())) {
            throw broken(path, "it ends too early");
        }
        in.seekg(bytes, std::ios::cur);
    };
    const int64_t entries = number("number of entries", 1 << 24);
    if (error || entries == 0) {
        throw broken(path, "it has no entries");
    }
    for (int64_t i = 0; i < entries; ++i) {
        skip(number("name", GGML_MAX_NAME * 4));
        number("count", INT32_MAX);
        skip(number("length", 1 << 28) * static_cast<int64_t>(sizeof(float)));
    }
    if (in.peek() != EOF) {
        number("chunk count", INT32_MAX);
        if (in.peek() != EOF) {
            skip(number("data set name", 1 << 16));
        }
    }
}

void check_gguf(const std::string & path) {
    const GgufFile file(path);
    for (const GgufTensor & tensor : file.tensors()) {
        if (tensor.size == 0 || tensor.type != GGML_TYPE_F32) {
            throw broken(path, "tensor " + tensor.name + " is empty or not f32");
        }
    }
    for (const char * key : {LLM_KV_IMATRIX_CHUNK_COUNT, LLM_KV_IMATRIX_CHUNK_SIZE}) {
        if (!file.number(key)) {
            throw broken(path, std::string("it lacks ") + key);
        }
    }
}

// The mean over the counted inputs, expert by expert; an expert that saw nothing counts evenly.
std::vector<float> means_of(const common_imatrix_entry & entry, bool legacy) {
    std::vector<float> means = entry.sums;
    const size_t experts = legacy || entry.counts.empty() ? 1 : entry.counts.size();
    const size_t width = means.size() / experts;
    for (size_t expert = 0; expert < experts; ++expert) {
        const auto count = entry.counts.empty() ? 0.0F : static_cast<float>(entry.counts[expert]);
        for (size_t i = expert * width; i < (expert + 1) * width; ++i) {
            means[i] = count > 0 ? means[i] / count : legacy ? means[i] : 1.0F;
        }
    }
    return means;
}

bool holds_one_of(const std::string & name, const std::vector<std::string> & parts) {
    return std::any_of(parts.begin(), parts.end(),
                       [&](const std::string & part) { return name.find(part) != std::string::npos; });
}

} // namespace

Imatrix Imatrix::load(const std::string & path) {
    if (is_gguf(path)) {
        check_gguf(path);
    } else {
        check_legacy(path);
    }
    common_imatrix raw;
    const LogScope log;
    if (!guarded(Errc::model_load, path, [&] { return common_imatrix_load(path, raw); })) {
        throw broken(path, log.reason().empty() ? "sums and counts do not match" : log.reason());
    }
    Imatrix made;
    made.file = std::filesystem::path(path).filename().string();
    made.datasets = raw.datasets;
    made.chunks = raw.chunk_count;
    for (const auto & [name, entry] : raw.entries) {
        const size_t experts = std::max<size_t>(entry.counts.size(), 1);
        if (!raw.is_legacy && entry.sums.size() % experts != 0) {
            throw broken(path, "the lengths of " + name + " do not match");
        }
        auto means = means_of(entry, raw.is_legacy);
        if (!std::all_of(means.begin(), means.end(), [](float x) { return std::isfinite(x); })) {
            throw broken(path, name + " holds a number that is not finite");
        }
        made.columns.emplace(name, std::move(means));
    }
    return made;
}

void Imatrix::filter(const std::vector<std::string> & include, const std::vector<std::string> & exclude) {
    std::erase_if(columns, [&](const auto & entry) {
        return holds_one_of(entry.first, exclude) || (!include.empty() && !holds_one_of(entry.first, include));
    });
}

} // namespace mullama
