// Reading and writing the bytes of a saved state. Numbers are little endian.
#pragma once

#include "error.hpp"

#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <type_traits>

namespace mullama {

static_assert(std::endian::native == std::endian::little, "llama.cpp writes states in the machine's own order");

// Every member throws Error(state) beyond the end.
class ByteReader {
  public:
    explicit ByteReader(std::span<const uint8_t> data) : data_(data) {}

    template <class T> T get() {
        static_assert(std::is_trivially_copyable_v<T>);
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    std::span<const uint8_t> take(uint64_t n_bytes) {
        expect(n_bytes);
        const auto out = data_.subspan(at_, n_bytes);
        at_ += n_bytes;
        return out;
    }
    std::string text(uint32_t most) {
        const auto length = get<uint32_t>();
        if (length > most) {
            throw Error(Errc::state, "a text in it is too long: " + std::to_string(length) + " bytes");
        }
        const auto bytes = take(length);
        return {bytes.begin(), bytes.end()};
    }
    void expect(uint64_t n_bytes) const {
        if (n_bytes > data_.size() - at_) {
            throw Error(Errc::state, "it ends too early");
        }
    }
    size_t at() const { return at_; }
    bool at_end() const { return at_ == data_.size(); }
    std::span<const uint8_t> since(size_t begin) const { return data_.subspan(begin, at_ - begin); }

  private:
    std::span<const uint8_t> data_;
    size_t at_ = 0;
};

class ByteWriter {
  public:
    explicit ByteWriter(std::function<void(const void *, size_t)> sink) : sink_(std::move(sink)) {}

    template <class T> void put(T value) {
        static_assert(std::is_trivially_copyable_v<T>);
        sink_(&value, sizeof(T));
    }
    void bytes(std::span<const uint8_t> data) { sink_(data.data(), data.size()); }
    void text(const std::string & text) {
        put(static_cast<uint32_t>(text.size()));
        sink_(text.data(), text.size());
    }

  private:
    std::function<void(const void *, size_t)> sink_;
};

} // namespace mullama
