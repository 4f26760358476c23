// Sound from a writer to a device's output callback, without a lock, and stopped from one buffer to the next.
//
// What is written belongs to a speech, numbered in the order of begin(). Samples lie in one ring; a
// short list of marks says at which sample index a speech begins. stop() is one atomic store: of which
// speeches on the callback may play (`epoch_`). The callback reads it first thing, fades out what
// sounds, and lets go of everything that belongs to an older speech, even what a writer that has not
// noticed yet adds later.
//
// Why that is free of races: samples and marks are published by release stores of their counts, and
// read after acquire loads; a sample is written again only after `read_` has passed it. What the callback
// knows alone (level, current speech) nobody else touches. stop() also ends a pause, epoch first; the
// callback looks at the pause first, so it never sees the end of a pause without the stop.
//
// Counts are of samples handed to the device. What came out of it is behind by its latency, which
// PortAudio tells with each buffer: the last buffers are remembered with the moment they are heard.
#pragma once

#include "ring.hpp"

#include <array>
#include <limits>

namespace mullama {

struct PlaybackShape {
    SampleType type = SampleType::int16; // of the device; what is written is float32, one channel
    size_t channels = 1;                 // of the device; each gets the same
    double sample_rate = 48000;          // Hz
    size_t capacity_frames = 0;          // that may wait to be played
    size_t fade_frames = 0;              // over which stop and pause fade out, and a pause fades in
};

struct PlaybackMeter {
    uint64_t written = 0;         // frames that came in
    uint64_t played = 0;          // frames handed to the device
    uint64_t dropped = 0;         // frames that a stop let go
    uint64_t backlog = 0;         // frames waiting now
    uint64_t underruns = 0;       // times that frames were missing within a speech
    uint64_t underrun_frames = 0; // silence played there
    uint64_t device_flags = 0;    // buffers marked with an output underflow
    uint64_t buffers = 0;         // calls of the callback
    double max_interval_ms = 0;   // longest time between two of them
    double max_buffer_us = 0;     // longest time spent in one
    double mean_buffer_us = 0;
    double latency_ms = 0;        // from callback to loudspeaker, as told with the last buffer
};

class Playback {
  public:
    static constexpr size_t kStopped = std::numeric_limits<size_t>::max();
    static constexpr size_t kSpeeches = 64; // that are remembered, and that may wait

    // Throws Error(invalid_option).
    explicit Playback(const PlaybackShape & shape);

    const PlaybackShape & shape() const { return shape_; }

    // ---- Any thread but the callback's. ----

    uint64_t begin() noexcept { return begun_.fetch_add(1) + 1; }
    // Nothing that was begun before plays any more. Returns what settled() is asked with. Wait-free.
    uint64_t stop() noexcept;
    void pause(bool on) noexcept { paused_.store(on); }
    bool paused() const noexcept { return paused_.load(); }
    void set_volume(float factor) noexcept { volume_.store(factor, std::memory_order_relaxed); }
    float volume() const noexcept { return volume_.load(std::memory_order_relaxed); }
    void set_latency(double seconds) noexcept; // where the host API tells none with a buffer
    void restart() noexcept { restarted_.store(true); } // the callback goes on with another stream

    bool stopped(uint64_t speech) const noexcept { return speech < epoch_.load(std::memory_order_acquire); }
    bool settled(uint64_t epoch) const noexcept { return settled_.load(std::memory_order_acquire) >= epoch; }
    uint64_t played(uint64_t speech) const noexcept; // frames of it that were handed to the device
    uint64_t heard(uint64_t speech, int64_t at_ns) const noexcept; // ... and had come out at that moment
    PlaybackMeter meter() const noexcept;
    double last_buffer_ms() const noexcept; // age of the last buffer; -1 before the first
    static int64_t now_ns() noexcept;       // the clock of `at_ns`

    // False on timeout.
    bool wait_settled(uint64_t epoch, std::chrono::microseconds timeout);
    bool wait_played(uint64_t speech, uint64_t frames, std::chrono::microseconds timeout); // or stopped
    void wake() noexcept { news_.notify(); }

    // ---- Writer: one thread at a time. ----

    // Frames taken, 0 where there is no room; kStopped if the speech was stopped, or a later one has begun.
    size_t write(uint64_t speech, const float * samples, size_t n) noexcept;
    void finish() noexcept; // what was written is all for now: silence after it is no underrun
    size_t room() const noexcept;
    bool wait_room(uint64_t speech, size_t frames, std::chrono::microseconds timeout); // or stopped

    // ---- Callback. Wait-free. ----

    void render(void * out, size_t n, int64_t now_ns, int64_t latency_ns, bool underflow) noexcept;
    int64_t latency_ns() const noexcept { return latency_ns_.load(std::memory_order_relaxed); }

  private:
    struct Mark {
        uint64_t first = 0;
        uint64_t speech = 0;
    };
    struct Count {
        std::atomic<uint64_t> speech{0};
        std::atomic<uint64_t> played{0};
    };
    struct Heard { // a stretch of a speech in one buffer; fields are valid while `turn` is even and stays
        std::atomic<uint64_t> turn{0};
        std::atomic<uint64_t> speech{0};
        std::atomic<uint64_t> before{0};
        std::atomic<uint64_t> frames{0};
        std::atomic<int64_t> at_ns{0};
    };
    static constexpr size_t kHeard = 512;

    enum class Ramp { none, up, down };
    struct Buffer; // the one being filled

    uint64_t next_speech() noexcept;
    void play(Buffer & buffer, size_t frames, Ramp ramp) noexcept;
    void drop(uint64_t end) noexcept;
    bool fill(Buffer & buffer, uint64_t epoch, bool paused) noexcept;
    void note(const Buffer & buffer, size_t frames) noexcept;
    void count_underrun(size_t missing, uint64_t epoch, bool paused) noexcept;
    template <class T> void put(Buffer & buffer, size_t frames, Ramp ramp) noexcept;

    const PlaybackShape shape_;
    std::vector<float> ring_;
    std::vector<float> curve_; // gain at each level

    // Callback's own.
    uint64_t at_ = 0;      // index of the next sample
    uint64_t speech_ = 0;  // it belongs to
    uint64_t mark_ = 0;    // number of the next mark
    size_t level_;         // of the fade; curve_.size() is full
    bool sounding_ = false; // the last frame handed over was of `speech_`
    bool starving_ = false;
    float gain_ = 1;
    bool running_ = false;

    // Writer's own.
    uint64_t writing_ = 0;

    alignas(64) std::atomic<uint64_t> written_{0};
    std::atomic<uint64_t> marks_written_{0};
    std::atomic<uint64_t> finished_{0}; // index at which nothing more is expected
    std::array<Mark, kSpeeches> marks_;
    alignas(64) std::atomic<uint64_t> begun_{0};
    std::atomic<uint64_t> epoch_{1}; // the oldest speech that may play
    std::atomic<bool> paused_{false};
    std::atomic<bool> restarted_{false};
    std::atomic<float> volume_{1};
    alignas(64) std::atomic<uint64_t> read_{0};
    std::atomic<uint64_t> marks_read_{0};
    std::atomic<uint64_t> settled_{1};
    std::atomic<uint64_t> played_{0};
    std::atomic<uint64_t> dropped_{0};
    std::atomic<uint64_t> underruns_{0};
    std::atomic<uint64_t> underrun_frames_{0};
    std::atomic<uint64_t> device_flags_{0};
    std::atomic<uint64_t> buffers_{0};
    std::atomic<int64_t> last_ns_{0};
    std::atomic<int64_t> max_interval_ns_{0};
    std::atomic<int64_t> max_buffer_ns_{0};
    std::atomic<int64_t> total_buffer_ns_{0};
    std::atomic<int64_t> latency_ns_{0};
    std::array<Count, kSpeeches> counts_;
    std::array<Heard, kHeard> heard_;
    std::atomic<uint64_t> heard_count_{0};
    alignas(64) Wakeup news_; // everybody who waits sleeps on it
};

} // namespace mullama

extern "C" {

// A PaStreamCallback (userData: the Playback) that fills the output. Runs no Python.
int mullama_playback_render(const void * input, void * output, unsigned long frames, const MullamaPaTimeInfo * time,
                            unsigned long flags, void * playback);

// A PaStreamFinishedCallback: wakes everybody who waits, so that a device that died is noticed at once.
void mullama_playback_stopped(void * playback);
}
