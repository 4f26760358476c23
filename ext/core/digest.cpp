#include "digest.hpp"

#include "model_tensors.hpp"

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#define XXH_INLINE_ALL
#include "hash/xxhash/xxhash.h"
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include <algorithm>
#include <cstdio>
#include <vector>

namespace mullama {

struct Digest::State {
    XXH3_state_t xxh;
};

Digest::Digest() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Digest::~Digest() = default;

void Digest::add(const void * data, size_t n_bytes) { XXH3_128bits_update(&state_->xxh, data, n_bytes); }

void Digest::add(const std::string & text) {
    const std::string head = std::to_string(text.size()) + ":";
    add(head.data(), head.size());
    add(text.data(), text.size());
}

std::array<uint8_t, Digest::size> Digest::bytes() const {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->xxh));
    std::array<uint8_t, size> out{};
    std::copy_n(canonical.digest, size, out.begin());
    return out;
}

std::string Digest::hex() const {
    std::string out;
    for (const uint8_t byte : bytes()) {
        out += "0123456789abcdef"[byte >> 4U];
        out += "0123456789abcdef"[byte & 15U];
    }
    return out;
}

namespace {

constexpr size_t head_bytes = size_t{1} << 20U;
constexpr size_t places = 256;
constexpr size_t place_bytes = 4096;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE *)>;

int64_t length_of(std::FILE * file) {
#ifdef _WIN32
    return _fseeki64(file, 0, SEEK_END) == 0 ? _ftelli64(file) : -1;
#else
    return fseeko(file, 0, SEEK_END) == 0 ? static_cast<int64_t>(ftello(file)) : -1;
#endif
}

bool go_to(std::FILE * file, int64_t at) {
#ifdef _WIN32
    return _fseeki64(file, at, SEEK_SET) == 0;
#else
    return fseeko(file, static_cast<off_t>(at), SEEK_SET) == 0;
#endif
}

void add_file(Digest & digest, const std::string & path) {
    const File file(std::fopen(path.c_str(), "rb"), std::fclose);
    const int64_t length = file ? length_of(file.get()) : -1;
    if (length < 0) {
        throw Error(Errc::state, "it cannot be read any more, and a state names what it was made with", path,
                    "Leave the file where it is while the model is in use");
    }
    digest.add(std::to_string(length));
    std::vector<uint8_t> buffer(head_bytes);
    const auto add = [&](int64_t at, size_t n_bytes) {
        const size_t got = go_to(file.get(), at) ? std::fread(buffer.data(), 1, n_bytes, file.get()) : 0;
        digest.add(buffer.data(), got);
    };
    add(0, head_bytes);
    const int64_t last = std::max<int64_t>(length - static_cast<int64_t>(place_bytes), 0);
    for (size_t i = 0; i < places; ++i) {
        add(last / static_cast<int64_t>(places - 1) * static_cast<int64_t>(i), place_bytes);
    }
    add(last, place_bytes);
}

} // namespace

std::string file_fingerprint(const std::string & path) {
    Digest digest;
    add_file(digest, path);
    return digest.hex();
}

std::string model_fingerprint(const Model & model) {
    Digest digest;
    add_file(digest, model.path());
    for (const auto & [key, value] : model.metadata()) {
        digest.add(key);
        digest.add(value);
    }
    for (const std::string & text : model.metadata_overrides()) {
        digest.add(text);
    }
    for (const GgufTensor & tensor : tensors_of(model)) {
        digest.add(tensor.name);
        digest.add(std::to_string(tensor.type));
        digest.add(tensor.shape.data(), sizeof(tensor.shape));
    }
    return digest.hex();
}

} // namespace mullama
