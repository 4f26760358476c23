// Sound from one producer to one consumer, without a lock on either side.
//
// The producer is as a rule an audio callback: it never waits, and when the consumer is too slow it
// drops the oldest frames. The consumer reads in place and learns exactly which frames it missed.
//
// Frames lie in blocks of equal size, numbered 0, 1, 2 ... as they are begun; block s is found through
// slot s mod n. A block that the consumer reads is its own: when the producer comes round to it, it
// puts a spare block into the slot and leaves that one alone. So nobody ever writes where somebody
// reads, the oldest frames can go while a view is held, and one spare suffices, since the consumer
// holds one block at a time.
//
// Why that is free of races (all on `oldest_` and `pinned_` is sequentially consistent):
//   producer, before it reuses block k:  oldest_ = k + 1; then reads pinned_
//   consumer, before it reads block k:   pinned_ = k; reads the slot; then reads oldest_
// If the producer misses the pin, then the consumer's read of oldest_ comes later and gives k + 1: it
// lets go and takes a newer block. If it sees the pin, it does not touch the block, whatever the
// consumer does next. A slot is changed only after oldest_, so a consumer that still finds oldest_ <= k
// has read the right slot. Frames inside a block are published by `filled` (release/acquire) and written
// once; a reused block was let go through pinned_, which the producer has read.
//
// Time is a frame index that counts lost frames too. Every block knows the index of its first frame,
// so a loss is where one block does not begin where the last one ended.
#pragma once

#include "drift.hpp"
#include "wakeup.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace mullama {

enum class SampleType { int16, float32 };

struct RingShape {
    SampleType type = SampleType::float32;
    size_t channels = 1;
    double sample_rate = 16000;   // Hz
    size_t capacity_frames = 0;   // that may wait to be read before any is dropped
    size_t block_frames = 0;      // the longest view, and what is dropped at a time

    size_t frame_bytes() const { return channels * (type == SampleType::int16 ? 2 : 4); }
};

struct RingMeter {
    uint64_t written = 0;          // frames that came in
    uint64_t delivered = 0;        // frames that were read
    uint64_t overrun = 0;          // frames dropped because the consumer was slow, as far as it has noticed
    uint64_t device_lost = 0;      // frames lost before they came here
    uint64_t overruns = 0;         // times that frames were dropped
    uint64_t device_flags = 0;     // buffers marked with an input overflow
    uint64_t drift_losses = 0;     // losses that only the device's clock shows
    uint64_t backlog = 0;          // frames waiting now
    uint64_t max_backlog = 0;      // the most that a read has found waiting
    uint64_t buffers = 0;          // calls of capture()
    double max_interval_ms = 0;    // longest time between two of them
    double max_buffer_us = 0;      // longest time spent in one
    double drift_frames = 0;       // device clock minus frame count
};

class Ring {
  public:
    // Throws Error(invalid_option).
    explicit Ring(const RingShape & shape);

    const RingShape & shape() const { return shape_; }

    // ---- Producer: one thread at a time. Wait-free, except wait_room(). ----

    void write(const void * frames, size_t n) noexcept; // interleaved
    // So many frames are missing before the next one; 0: some are, nobody knows how many.
    void gap(uint64_t lost) noexcept;
    // What the audio callback does. `time` is that of the first frame in seconds, or 0.
    void capture(const void * frames, size_t n, double time, bool overflow) noexcept;
    void restart() noexcept; // capture() begins anew: another stream, perhaps another clock
    void finish() noexcept;  // no more frames will come
    size_t room() const noexcept; // frames that can be written before unread ones are dropped
    bool wait_room(size_t frames, std::chrono::microseconds timeout); // false on timeout

    // ---- Consumer: one thread at a time. ----

    enum class Kind { nothing, frames, gap, end };

    struct Item {
        Kind kind = Kind::nothing;
        uint64_t at = 0;               // index of the first frame, or of the first missing one
        const std::byte * data = nullptr;
        uint64_t count = 0;            // frames, or missing frames
        uint64_t overrun = 0;          // of those missing: dropped here
        bool device = false;           // the device lost some
    };

    // The next frames, at most `max_frames` (0: a block), valid until the next read. Never waits.
    Item read(size_t max_frames) noexcept;
    bool readable() const noexcept; // read() would not give `nothing`
    bool wait(std::chrono::microseconds timeout); // until readable() or wake(); whether it is
    uint64_t position() const noexcept { return expected_.load(std::memory_order_relaxed); }

    // ---- Any thread. ----

    void wake() noexcept { data_.notify(); }
    RingMeter meter() const noexcept;
    double last_capture_ms() const noexcept; // age of the last buffer; -1 before the first

  private:
    struct Block {
        std::atomic<size_t> filled{0};
        uint64_t first = 0;       // index of its first frame
        uint64_t device_lost = 0; // frames the device lost up to here
        uint64_t marks = 0;       // losses the device reported up to here
        std::byte * data = nullptr;
    };

    void begin_block() noexcept;
    void next_block() noexcept;
    Item loss_before_block() noexcept;
    void note_interval() noexcept;

    const RingShape shape_;
    std::vector<std::byte> storage_;
    std::unique_ptr<Block[]> blocks_;
    std::unique_ptr<std::atomic<uint32_t>[]> slots_; // slot -> block
    const size_t slot_count_;

    // Producer's own.
    uint64_t sequence_ = 0;
    Block * writing_ = nullptr;
    size_t fill_ = 0;
    uint32_t spare_;
    uint64_t index_ = 0; // of the next frame
    uint64_t marks_ = 0;
    bool gap_pending_ = false;
    Drift drift_;
    bool captured_ = false;

    // Consumer's own.
    uint64_t current_ = 0;
    Block * reading_ = nullptr;
    size_t offset_ = 0;
    uint64_t device_seen_ = 0;
    uint64_t marks_seen_ = 0;
    bool loss_checked_ = true;

    // Shared; each line of the cache is written by one side.
    alignas(64) std::atomic<uint64_t> head_{0}; // the block being written
    std::atomic<uint64_t> oldest_{0};           // blocks before it may be gone
    std::atomic<bool> finished_{false};
    std::atomic<uint64_t> written_{0};
    std::atomic<uint64_t> device_lost_{0};
    std::atomic<uint64_t> device_flags_{0};
    std::atomic<uint64_t> drift_losses_{0};
    std::atomic<uint64_t> buffers_{0};
    std::atomic<int64_t> last_ns_{0};
    std::atomic<int64_t> max_interval_ns_{0};
    std::atomic<int64_t> max_buffer_ns_{0};
    std::atomic<double> drift_frames_{0};
    alignas(64) std::atomic<uint64_t> pinned_{0}; // the block being read
    std::atomic<uint64_t> expected_{0};           // index of the next frame to read
    std::atomic<uint64_t> delivered_{0};
    std::atomic<uint64_t> overrun_{0};
    std::atomic<uint64_t> overruns_{0};
    std::atomic<uint64_t> max_backlog_{0};
    alignas(64) Wakeup data_;  // the consumer sleeps on it
    alignas(64) Wakeup space_; // a producer that may wait sleeps on it
};

} // namespace mullama

extern "C" {

// PortAudio's PaStreamCallbackTimeInfo (portaudio.h, stable since v19): seconds of the stream's clock.
struct MullamaPaTimeInfo {
    double input_adc_time;
    double current_time;
    double output_dac_time;
};

// A PaStreamCallback (userData: the Ring) that writes the input into the ring. Runs no Python.
int mullama_ring_capture(const void * input, void * output, unsigned long frames, const MullamaPaTimeInfo * time,
                         unsigned long flags, void * ring);

// A PaStreamFinishedCallback: wakes the consumer, so that a device that died is noticed at once.
void mullama_ring_stopped(void * ring);
}
