#include "encoder.hpp"

#include <algorithm>
#include <chrono>

namespace mullama {

namespace {

constexpr size_t most_at_once = 32; // media offered to one pass; libmtmd takes what fits

constexpr size_t most_names = 4096; // then names of media that nobody waits for any more are forgotten

size_t bytes_of(const Encoding & encoding) { return encoding.rows.size() * sizeof(float); }

} // namespace

Encoder::Encoder(std::shared_ptr<Media> media, size_t cache_bytes, std::function<void()> on_done)
    : media_(std::move(media)), cache_bytes_(cache_bytes), on_done_(std::move(on_done)),
      thread_([this] { run(); }) {}

Encoder::~Encoder() { close(); }

void Encoder::close() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

Encoder::Wanted Encoder::want(const PromptChunk & chunk) {
    const std::lock_guard lock(mutex_);
    if (known_.size() > most_names) {
        std::erase_if(known_, [](const auto & entry) { return entry.second.expired(); });
    }
    std::weak_ptr<Encoding> & known = known_[chunk.key];
    if (auto encoding = known.lock()) {
        ++counters_.reused;
        const auto at = std::find(cache_.begin(), cache_.end(), encoding);
        if (at != cache_.end()) {
            cache_.splice(cache_.begin(), cache_, at);
        }
        return {encoding, false};
    }
    auto encoding = std::make_shared<Encoding>();
    encoding->chunk_ = chunk;
    known = encoding;
    waiting_.push_back(encoding);
    changed_.notify_one();
    return {encoding, true};
}

EncoderCounters Encoder::counters() const {
    const std::lock_guard lock(mutex_);
    return counters_;
}

void Encoder::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
        if (closing_) {
            return;
        }
        std::vector<std::shared_ptr<Encoding>> batch;
        std::vector<const PromptChunk *> chunks;
        const size_t most = alone_ > 0 ? 1 : most_at_once;
        while (!waiting_.empty() && batch.size() < most) {
            if (auto encoding = waiting_.front().lock()) {
                chunks.push_back(&encoding->chunk_);
                batch.push_back(std::move(encoding));
            }
            waiting_.pop_front();
        }
        if (batch.empty()) {
            continue;
        }
        lock.unlock();
        const auto start = std::chrono::steady_clock::now();
        std::vector<std::vector<float>> rows;
        std::optional<Error> error;
        try {
            rows = media_->encode(chunks);
        } catch (const Error & thrown) {
            error = thrown;
        } catch (const std::exception & thrown) {
            error = Error(Errc::decode, std::string("the encoder failed: ") + thrown.what(), media_->path());
        }
        const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
        lock.lock();
        // A pass that failed is the fault of one of its media: try each alone, this one first.
        const size_t finished = error ? (batch.size() == 1 ? 1 : 0) : rows.size();
        alone_ = error && batch.size() > 1 ? batch.size() : alone_ - std::min<size_t>(alone_, 1);
        for (size_t i = 0; i < finished; ++i) {
            batch[i]->ms = ms;
            if (error) {
                batch[i]->error = error;
            } else {
                batch[i]->rows = std::move(rows[i]);
            }
            batch[i]->done_.store(true, std::memory_order_release);
            remember(batch[i]);
        }
        ++counters_.passes;
        counters_.ms += ms;
        counters_.encoded += finished;
        for (size_t i = batch.size(); i > finished; --i) {
            waiting_.push_front(batch[i - 1]);
        }
        lock.unlock();
        batch.clear();
        on_done_();
        lock.lock();
    }
}

void Encoder::remember(const std::shared_ptr<Encoding> & encoding) {
    encoding->chunk_.media.reset(); // the preprocessed medium is not needed any more
    if (encoding->error || bytes_of(*encoding) > cache_bytes_) {
        known_.erase(encoding->chunk_.key);
        return;
    }
    cache_.push_front(encoding);
    counters_.cached_bytes += bytes_of(*encoding);
    while (counters_.cached_bytes > cache_bytes_) {
        counters_.cached_bytes -= bytes_of(*cache_.back());
        known_.erase(cache_.back()->chunk_.key);
        cache_.pop_back();
    }
}

} // namespace mullama
