// Encodes media on a thread of its own, so that running requests go on meanwhile, and remembers
// what it encoded.
#pragma once

#include "media.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace mullama {

// One medium's embeddings, now or later. Read the other members only once done() is true.
class Encoding {
  public:
    bool done() const { return done_.load(std::memory_order_acquire); }

    std::vector<float> rows; // n_tokens rows of n_embd_inp floats
    std::optional<Error> error;
    double ms = 0; // of the encoder's pass, shared by the media in it

  private:
    friend class Encoder;
    PromptChunk chunk_;
    std::atomic<bool> done_{false};
};

struct EncoderCounters {
    uint64_t encoded = 0; // media
    uint64_t reused = 0;  // asked for while remembered or under way
    uint64_t passes = 0;
    uint64_t cached_bytes = 0;
    double ms = 0; // in passes
};

// Thread-safe.
class Encoder {
  public:
    // Remembers up to cache_bytes of embeddings, the most recently used. on_done is called from the
    // encoder's thread after every pass.
    Encoder(std::shared_ptr<Media> media, size_t cache_bytes, std::function<void()> on_done);
    ~Encoder(); // closes; prefer close(), which may block

    // Waits for the pass under way; nothing is encoded after it. Idempotent, for one thread.
    void close();

    struct Wanted {
        std::shared_ptr<const Encoding> encoding;
        bool fresh; // it was not there and not under way
    };
    // Never blocks. An encoding that nobody holds when its turn comes is not made.
    Wanted want(const PromptChunk & chunk);

    EncoderCounters counters() const;

  private:
    void run();
    void remember(const std::shared_ptr<Encoding> & encoding);

    const std::shared_ptr<Media> media_;
    const size_t cache_bytes_;
    const std::function<void()> on_done_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, std::weak_ptr<Encoding>> known_; // under way or remembered
    std::deque<std::weak_ptr<Encoding>> waiting_;
    std::list<std::shared_ptr<Encoding>> cache_; // most recently used first
    EncoderCounters counters_;
    size_t alone_ = 0; // so many passes take one medium each, after one that failed
    bool closing_ = false;
    std::thread thread_;
};

} // namespace mullama
