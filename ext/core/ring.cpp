#include "ring.hpp"

#include "error.hpp"

#include <algorithm>
#include <cstring>

namespace mullama {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

int64_t now_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Only the one thread that owns a counter calls this.
template <class T> void add(std::atomic<T> & counter, T amount) noexcept {
    counter.store(counter.load(relaxed) + amount, relaxed);
}

template <class T> void raise(std::atomic<T> & most, T value) noexcept {
    if (value > most.load(relaxed)) {
        most.store(value, relaxed);
    }
}

const RingShape & checked(const RingShape & shape) {
    constexpr size_t kLargest = size_t{1} << 32;
    if (shape.channels < 1 || shape.channels > 64) {
        throw Error(Errc::invalid_option, "a ring has 1 to 64 channels", "channels");
    }
    if (!(shape.sample_rate > 0)) {
        throw Error(Errc::invalid_option, "a sample rate is more than 0 Hz", "sample_rate");
    }
    if (shape.block_frames < 1 || shape.capacity_frames < shape.block_frames ||
        shape.capacity_frames > kLargest / shape.frame_bytes()) {
        throw Error(Errc::invalid_option, "a ring holds at least one block, and at most 4 GiB", "capacity_frames");
    }
    return shape;
}

} // namespace

Ring::Ring(const RingShape & shape)
    : shape_(checked(shape)),
      slot_count_((shape.capacity_frames + shape.block_frames - 1) / shape.block_frames + 1),
      spare_(static_cast<uint32_t>(slot_count_)), drift_(shape.sample_rate) {
    const size_t block_bytes = shape_.block_frames * shape_.frame_bytes();
    storage_.resize((slot_count_ + 1) * block_bytes); // written, so that no page is missing later
    blocks_ = std::make_unique<Block[]>(slot_count_ + 1);
    slots_ = std::make_unique<std::atomic<uint32_t>[]>(slot_count_);
    for (size_t i = 0; i <= slot_count_; ++i) {
        blocks_[i].data = storage_.data() + i * block_bytes;
    }
    for (size_t i = 0; i < slot_count_; ++i) {
        slots_[i].store(static_cast<uint32_t>(i), relaxed);
    }
    writing_ = reading_ = &blocks_[0];
}

// ---- Producer ----

void Ring::begin_block() noexcept {
    const uint64_t next = sequence_ + 1;
    std::atomic<uint32_t> & slot = slots_[next % slot_count_];
    if (next >= slot_count_) {
        const uint64_t victim = next - slot_count_;
        oldest_.store(victim + 1);
        if (pinned_.load() == victim) {
            spare_ = slot.exchange(spare_);
        }
    }
    Block & block = blocks_[slot.load(relaxed)];
    block.filled.store(0, relaxed);
    block.first = index_;
    block.device_lost = device_lost_.load(relaxed);
    block.marks = marks_;
    writing_ = &block;
    fill_ = 0;
    sequence_ = next;
    gap_pending_ = false;
    head_.store(next, release);
}

void Ring::write(const void * frames, size_t n) noexcept {
    const auto * from = static_cast<const std::byte *>(frames);
    const size_t size = shape_.frame_bytes();
    while (n > 0) {
        if (gap_pending_ || fill_ == shape_.block_frames) {
            begin_block();
        }
        const size_t part = std::min(n, shape_.block_frames - fill_);
        std::memcpy(writing_->data + fill_ * size, from, part * size);
        fill_ += part;
        index_ += part;
        from += part * size;
        n -= part;
        add<uint64_t>(written_, part);
        writing_->filled.store(fill_, release);
    }
    data_.notify();
}

void Ring::gap(uint64_t lost) noexcept {
    index_ += lost;
    ++marks_;
    add(device_lost_, lost);
    gap_pending_ = true;
}

void Ring::capture(const void * frames, size_t n, double time, bool overflow) noexcept {
    note_interval();
    const int64_t began = last_ns_.load(relaxed);
    const uint64_t unnoticed = drift_.observe(time, n);
    if (overflow) {
        add<uint64_t>(device_flags_, 1);
        gap(unnoticed + drift_.flagged());
    } else if (unnoticed > 0) {
        add<uint64_t>(drift_losses_, 1);
        gap(unnoticed);
    }
    drift_frames_.store(drift_.frames(), relaxed);
    write(frames, n);
    raise(max_buffer_ns_, now_ns() - began);
}

void Ring::note_interval() noexcept {
    const int64_t now = now_ns();
    if (captured_) {
        raise(max_interval_ns_, now - last_ns_.load(relaxed));
    }
    captured_ = true;
    last_ns_.store(now, relaxed);
    add<uint64_t>(buffers_, 1);
}

void Ring::restart() noexcept {
    drift_.restart();
    captured_ = false;
}

void Ring::finish() noexcept {
    if (gap_pending_) {
        begin_block();
    }
    finished_.store(true, release);
    data_.notify();
}

size_t Ring::room() const noexcept {
    const uint64_t first_kept = pinned_.load(acquire) + slot_count_; // the last block that drops nothing unread
    const size_t here = gap_pending_ ? 0 : shape_.block_frames - fill_;
    return first_kept < sequence_ ? 0 : here + (first_kept - sequence_) * shape_.block_frames;
}

bool Ring::wait_room(size_t frames, std::chrono::microseconds timeout) {
    return space_.wait([&] { return room() >= frames; }, timeout);
}

// ---- Consumer ----

void Ring::next_block() noexcept {
    uint64_t sequence = current_ + 1;
    uint32_t number = 0;
    do {
        sequence = std::max(sequence, oldest_.load());
        pinned_.store(sequence);
        number = slots_[sequence % slot_count_].load(acquire);
    } while (oldest_.load() > sequence);
    current_ = sequence;
    reading_ = &blocks_[number];
    offset_ = 0;
    loss_checked_ = false;
    space_.notify();
}

Ring::Item Ring::loss_before_block() noexcept {
    loss_checked_ = true;
    const uint64_t expected = expected_.load(relaxed);
    const uint64_t by_device = reading_->device_lost - device_seen_;
    const bool marked = reading_->marks != marks_seen_;
    const uint64_t missing = reading_->first - expected;
    device_seen_ = reading_->device_lost;
    marks_seen_ = reading_->marks;
    expected_.store(reading_->first, relaxed);
    const uint64_t dropped = missing - by_device;
    if (dropped > 0) {
        add(overrun_, dropped);
        add<uint64_t>(overruns_, 1);
    }
    const Kind kind = missing > 0 || marked ? Kind::gap : Kind::nothing;
    return {kind, expected, nullptr, missing, dropped, marked};
}

Ring::Item Ring::read(size_t max_frames) noexcept {
    for (;;) {
        if (!loss_checked_) {
            const Item loss = loss_before_block();
            if (loss.kind == Kind::gap) {
                return loss;
            }
        }
        const bool finished = finished_.load(acquire);
        const bool last = head_.load(acquire) == current_; // else `filled` is final
        const size_t filled = reading_->filled.load(acquire);
        if (offset_ < filled) {
            const uint64_t waiting = meter().backlog;
            raise(max_backlog_, waiting);
            const size_t most = max_frames == 0 ? shape_.block_frames : max_frames;
            const size_t count = std::min(most, filled - offset_);
            const uint64_t at = expected_.load(relaxed);
            const std::byte * data = reading_->data + offset_ * shape_.frame_bytes();
            offset_ += count;
            expected_.store(at + count, relaxed);
            add<uint64_t>(delivered_, count);
            return {Kind::frames, at, data, count, 0, false};
        }
        if (last) {
            return {finished ? Kind::end : Kind::nothing, expected_.load(relaxed), nullptr, 0, 0, false};
        }
        next_block();
    }
}

bool Ring::readable() const noexcept {
    return !loss_checked_ || finished_.load(acquire) || head_.load(acquire) != current_ ||
           offset_ < reading_->filled.load(acquire);
}

bool Ring::wait(std::chrono::microseconds timeout) {
    return data_.wait([this] { return readable(); }, timeout);
}

// ---- Any thread ----

RingMeter Ring::meter() const noexcept {
    RingMeter out;
    out.delivered = delivered_.load(relaxed);
    out.overrun = overrun_.load(relaxed);
    out.written = written_.load(relaxed);
    out.device_lost = device_lost_.load(relaxed);
    out.overruns = overruns_.load(relaxed);
    out.device_flags = device_flags_.load(relaxed);
    out.drift_losses = drift_losses_.load(relaxed);
    out.backlog = out.written - std::min(out.written, out.delivered + out.overrun);
    out.max_backlog = max_backlog_.load(relaxed);
    out.buffers = buffers_.load(relaxed);
    out.max_interval_ms = static_cast<double>(max_interval_ns_.load(relaxed)) / 1e6;
    out.max_buffer_us = static_cast<double>(max_buffer_ns_.load(relaxed)) / 1e3;
    out.drift_frames = drift_frames_.load(relaxed);
    return out;
}

double Ring::last_capture_ms() const noexcept {
    const int64_t last = last_ns_.load(relaxed);
    return last == 0 ? -1 : static_cast<double>(now_ns() - last) / 1e6;
}

} // namespace mullama

extern "C" {

int mullama_ring_capture(const void * input, void *, unsigned long frames, const MullamaPaTimeInfo * time,
                         unsigned long flags, void * ring) {
    constexpr unsigned long kInputOverflow = 2; // paInputOverflow: frames before this buffer were discarded
    auto & self = *static_cast<mullama::Ring *>(ring);
    if (input != nullptr) {
        self.capture(input, frames, time != nullptr ? time->input_adc_time : 0, (flags & kInputOverflow) != 0);
    } else {
        self.gap(frames);
    }
    return 0; // paContinue
}

void mullama_ring_stopped(void * ring) { static_cast<mullama::Ring *>(ring)->wake(); }
}
