#include "playback.hpp"

#include "error.hpp"

#include <algorithm>
#include <cmath>

namespace mullama {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

// Only the one thread that owns a counter calls this.
template <class T> void add(std::atomic<T> & counter, T amount) noexcept {
    counter.store(counter.load(relaxed) + amount, relaxed);
}

template <class T> void raise(std::atomic<T> & most, T value) noexcept {
    if (value > most.load(relaxed)) {
        most.store(value, relaxed);
    }
}

const PlaybackShape & checked(const PlaybackShape & shape) {
    constexpr size_t kLargest = size_t{1} << 30;
    if (shape.channels < 1 || shape.channels > 64) {
        throw Error(Errc::invalid_option, "a loudspeaker has 1 to 64 channels", "channels");
    }
    if (!(shape.sample_rate > 0)) {
        throw Error(Errc::invalid_option, "a sample rate is more than 0 Hz", "sample_rate");
    }
    if (shape.capacity_frames < 1 || shape.capacity_frames > kLargest || shape.fade_frames > kLargest) {
        throw Error(Errc::invalid_option, "a ring holds at least one frame, and at most 4 GiB", "capacity_frames");
    }
    return shape;
}

template <class T> T sample(float value) noexcept;
template <> float sample<float>(float value) noexcept { return std::clamp(value, -1.0F, 1.0F); }
template <> int16_t sample<int16_t>(float value) noexcept {
    return static_cast<int16_t>(std::lrint(std::clamp(value * 32768.0F, -32768.0F, 32767.0F)));
}

} // namespace

struct Playback::Buffer {
    void * out;
    size_t size;
    int64_t heard_ns; // when its first frame is heard
    float gain_step;
    size_t filled = 0;
    size_t left() const { return size - filled; }
};

Playback::Playback(const PlaybackShape & shape)
    : shape_(checked(shape)), ring_(shape.capacity_frames), curve_(shape.fade_frames), level_(shape.fade_frames) {
    for (size_t i = 0; i < curve_.size(); ++i) { // raised cosine
        const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(curve_.size());
        curve_[i] = static_cast<float>(0.5 - 0.5 * std::cos(3.14159265358979323846 * place));
    }
}

int64_t Playback::now_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// ---- Control ----

uint64_t Playback::stop() noexcept {
    const uint64_t kept = begun_.load() + 1;
    uint64_t before = epoch_.load();
    while (before < kept && !epoch_.compare_exchange_weak(before, kept)) {
    }
    paused_.store(false);
    news_.notify();
    return kept;
}

void Playback::set_latency(double seconds) noexcept {
    latency_ns_.store(static_cast<int64_t>(std::clamp(seconds, 0.0, 60.0) * 1e9), relaxed);
}

uint64_t Playback::played(uint64_t speech) const noexcept {
    const Count & count = counts_[speech % kSpeeches];
    if (count.speech.load(acquire) != speech) {
        return 0;
    }
    const uint64_t frames = count.played.load(acquire);
    return count.speech.load(relaxed) == speech ? frames : 0;
}

uint64_t Playback::heard(uint64_t speech, int64_t at_ns) const noexcept {
    uint64_t least = played(speech);
    const uint64_t newest = heard_count_.load(acquire);
    for (uint64_t i = newest; i > 0 && newest - i < kHeard; --i) {
        const Heard & stretch = heard_[(i - 1) % kHeard];
        const uint64_t turn = stretch.turn.load(acquire);
        const uint64_t whose = stretch.speech.load(acquire);
        const uint64_t before = stretch.before.load(acquire);
        const uint64_t frames = stretch.frames.load(acquire);
        const int64_t from_ns = stretch.at_ns.load(acquire);
        if (turn != 2 * i || stretch.turn.load(relaxed) != turn) {
            break; // written anew meanwhile, and so are all older ones
        }
        if (whose != speech) {
            continue;
        }
        if (from_ns <= at_ns) {
            const double passed = static_cast<double>(at_ns - from_ns) * 1e-9 * shape_.sample_rate;
            const uint64_t of_it = passed >= static_cast<double>(frames) ? frames : static_cast<uint64_t>(passed);
            return std::min(least, before + of_it);
        }
        least = before;
    }
    return least;
}

bool Playback::wait_settled(uint64_t epoch, std::chrono::microseconds timeout) {
    return news_.wait([&] { return settled(epoch); }, timeout);
}

bool Playback::wait_played(uint64_t speech, uint64_t frames, std::chrono::microseconds timeout) {
    return news_.wait([&] { return played(speech) >= frames || stopped(speech); }, timeout);
}

// ---- Writer ----

size_t Playback::room() const noexcept { return ring_.size() - (written_.load(relaxed) - read_.load(acquire)); }

bool Playback::wait_room(uint64_t speech, size_t frames, std::chrono::microseconds timeout) {
    const size_t wanted = std::min(frames, ring_.size());
    const auto ready = [&] {
        const bool marked = marks_written_.load(relaxed) - marks_read_.load(acquire) < kSpeeches;
        return stopped(speech) || (room() >= wanted && marked);
    };
    return news_.wait(ready, timeout);
}

size_t Playback::write(uint64_t speech, const float * samples, size_t n) noexcept {
    if (stopped(speech) || speech < writing_) {
        return kStopped;
    }
    const uint64_t written = written_.load(relaxed);
    const size_t count = std::min(n, room());
    if (count == 0) {
        return 0;
    }
    if (speech != writing_) {
        const uint64_t number = marks_written_.load(relaxed);
        if (number - marks_read_.load(acquire) == kSpeeches) {
            return 0;
        }
        marks_[number % kSpeeches] = {written, speech};
        marks_written_.store(number + 1, release);
        writing_ = speech;
    }
    const size_t begin = written % ring_.size();
    const size_t first = std::min(count, ring_.size() - begin);
    std::copy_n(samples, first, ring_.begin() + static_cast<ptrdiff_t>(begin));
    std::copy_n(samples + first, count - first, ring_.begin());
    written_.store(written + count, release);
    return count;
}

void Playback::finish() noexcept { finished_.store(written_.load(relaxed), release); }

// ---- Callback ----

// Enters the speech of the next sample. Returns the index where samples of it end, for now.
uint64_t Playback::next_speech() noexcept {
    const uint64_t written = written_.load(acquire); // before the marks: each sample's mark is seen
    const uint64_t marks = marks_written_.load(acquire);
    if (mark_ < marks && marks_[mark_ % kSpeeches].first == at_) {
        speech_ = marks_[mark_ % kSpeeches].speech;
        marks_read_.store(++mark_, release);
        Count & count = counts_[speech_ % kSpeeches];
        count.speech.store(0, relaxed);
        count.played.store(0, release);
        count.speech.store(speech_, release);
    }
    return mark_ < marks ? std::min(written, marks_[mark_ % kSpeeches].first) : written;
}

template <class T> void Playback::put(Buffer & buffer, size_t frames, Ramp ramp) noexcept {
    T * out = static_cast<T *>(buffer.out) + buffer.filled * shape_.channels;
    size_t from = at_ % ring_.size();
    for (size_t i = 0; i < frames; ++i) {
        float fade = 1;
        if (ramp == Ramp::down) {
            fade = curve_[--level_];
        } else if (ramp == Ramp::up) {
            fade = curve_[level_++];
        }
        const T value = sample<T>(ring_[from] * fade * gain_);
        gain_ += buffer.gain_step;
        from = from + 1 == ring_.size() ? 0 : from + 1;
        for (size_t c = 0; c < shape_.channels; ++c) {
            *out++ = value;
        }
    }
}

void Playback::play(Buffer & buffer, size_t frames, Ramp ramp) noexcept {
    if (shape_.type == SampleType::int16) {
        put<int16_t>(buffer, frames, ramp);
    } else {
        put<float>(buffer, frames, ramp);
    }
    note(buffer, frames);
    buffer.filled += frames;
    at_ += frames;
    sounding_ = true;
    starving_ = false;
    add<uint64_t>(played_, frames);
    Count & count = counts_[speech_ % kSpeeches];
    count.played.store(count.played.load(relaxed) + frames, release);
}

void Playback::note(const Buffer & buffer, size_t frames) noexcept {
    const uint64_t number = heard_count_.load(relaxed);
    Heard & stretch = heard_[number % kHeard];
    const double offset_ns = static_cast<double>(buffer.filled) / shape_.sample_rate * 1e9;
    stretch.turn.store(2 * number + 1, relaxed);
    stretch.speech.store(speech_, release);
    stretch.before.store(counts_[speech_ % kSpeeches].played.load(relaxed), release);
    stretch.frames.store(frames, release);
    stretch.at_ns.store(buffer.heard_ns + static_cast<int64_t>(offset_ns), release);
    stretch.turn.store(2 * number + 2, release);
    heard_count_.store(number + 1, release);
}

void Playback::drop(uint64_t end) noexcept {
    add<uint64_t>(dropped_, end - at_);
    at_ = end;
    sounding_ = starving_ = false;
    level_ = curve_.size();
}

// Whether everything that was stopped has gone.
bool Playback::fill(Buffer & buffer, uint64_t epoch, bool paused) noexcept {
    for (;;) {
        const uint64_t end = next_speech();
        const size_t ready = end - at_;
        const size_t fading = sounding_ ? std::min(ready, level_) : 0;
        if (speech_ < epoch) {
            if (fading > 0) {
                if (buffer.left() == 0) {
                    return false;
                }
                play(buffer, std::min(fading, buffer.left()), Ramp::down);
                continue;
            }
            drop(end);
            if (ready == 0) {
                return true;
            }
            continue;
        }
        if (buffer.left() == 0 || ready == 0 || (paused && fading == 0)) {
            return true;
        }
        const size_t rising = curve_.size() - level_;
        const Ramp ramp = paused ? Ramp::down : rising > 0 ? Ramp::up : Ramp::none;
        const size_t most = paused ? fading : rising > 0 ? std::min(rising, ready) : ready;
        play(buffer, std::min(most, buffer.left()), ramp);
    }
}

void Playback::count_underrun(size_t missing, uint64_t epoch, bool paused) noexcept {
    sounding_ = false;
    if (paused || speech_ < epoch || finished_.load(acquire) == at_) {
        return;
    }
    add<uint64_t>(underrun_frames_, missing);
    add<uint64_t>(underruns_, starving_ ? 0 : 1);
    starving_ = true;
}

void Playback::render(void * out, size_t n, int64_t now, int64_t latency, bool underflow) noexcept {
    const int64_t began = now_ns();
    const bool paused = paused_.load();
    const uint64_t epoch = epoch_.load();
    const float volume = volume_.load(relaxed);
    latency_ns_.store(latency, relaxed);
    Buffer buffer{out, n, now + latency, n == 0 ? 0 : (volume - gain_) / static_cast<float>(n)};
    const bool settled = fill(buffer, epoch, paused);
    gain_ = volume;
    if (buffer.left() > 0) {
        const size_t frame_bytes = shape_.channels * (shape_.type == SampleType::int16 ? 2 : 4);
        std::fill_n(static_cast<std::byte *>(out) + buffer.filled * frame_bytes, buffer.left() * frame_bytes,
                    std::byte{0});
        count_underrun(buffer.left(), epoch, paused);
    }
    read_.store(at_, release);
    if (settled) {
        settled_.store(epoch, release);
    }
    add<uint64_t>(device_flags_, underflow ? 1 : 0);
    if (running_ && !restarted_.exchange(false)) {
        raise(max_interval_ns_, now - last_ns_.load(relaxed));
    }
    running_ = true;
    last_ns_.store(now, relaxed);
    news_.notify();
    const int64_t spent = now_ns() - began;
    raise(max_buffer_ns_, spent);
    add(total_buffer_ns_, spent);
    add<uint64_t>(buffers_, 1);
}

// ---- Any thread ----

PlaybackMeter Playback::meter() const noexcept {
    PlaybackMeter out;
    out.played = played_.load(relaxed);
    out.dropped = dropped_.load(relaxed);
    const uint64_t read = read_.load(acquire);
    out.written = written_.load(relaxed);
    out.backlog = out.written - read;
    out.underruns = underruns_.load(relaxed);
    out.underrun_frames = underrun_frames_.load(relaxed);
    out.device_flags = device_flags_.load(relaxed);
    out.buffers = buffers_.load(relaxed);
    out.max_interval_ms = static_cast<double>(max_interval_ns_.load(relaxed)) / 1e6;
    out.max_buffer_us = static_cast<double>(max_buffer_ns_.load(relaxed)) / 1e3;
    const auto buffers = static_cast<double>(std::max<uint64_t>(out.buffers, 1));
    out.mean_buffer_us = static_cast<double>(total_buffer_ns_.load(relaxed)) / 1e3 / buffers;
    out.latency_ms = static_cast<double>(latency_ns()) / 1e6;
    return out;
}

double Playback::last_buffer_ms() const noexcept {
    const int64_t last = last_ns_.load(relaxed);
    return last == 0 ? -1 : static_cast<double>(now_ns() - last) / 1e6;
}

} // namespace mullama

extern "C" {

int mullama_playback_render(const void *, void * output, unsigned long frames, const MullamaPaTimeInfo * time,
                            unsigned long flags, void * playback) {
    constexpr unsigned long kOutputUnderflow = 4; // paOutputUnderflow: the device had nothing to play
    constexpr double kLongest = 60;               // seconds; some host APIs tell nonsense
    auto & self = *static_cast<mullama::Playback *>(playback);
    int64_t latency = self.latency_ns();
    if (time != nullptr && time->output_dac_time > time->current_time && time->current_time > 0 &&
        time->output_dac_time - time->current_time < kLongest) {
        latency = static_cast<int64_t>((time->output_dac_time - time->current_time) * 1e9);
    }
    self.render(output, frames, mullama::Playback::now_ns(), latency, (flags & kOutputUnderflow) != 0);
    return 0; // paContinue
}

void mullama_playback_stopped(void * playback) { static_cast<mullama::Playback *>(playback)->wake(); }
}
