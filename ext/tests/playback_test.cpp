#include "check.hpp"
#include "error.hpp"
#include "playback.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

using namespace mullama;

namespace {

constexpr float kUnit = 1.0F / 65536; // indices up to 65536 are exact and within full scale

PlaybackShape shape(size_t capacity, size_t fade = 0, size_t channels = 1, SampleType type = SampleType::float32) {
    return {type, channels, 16000, capacity, fade};
}

std::vector<float> counting(uint64_t from, size_t n) {
    std::vector<float> out(n);
    for (size_t i = 0; i < n; ++i) {
        out[i] = static_cast<float>(from + i) * kUnit;
    }
    return out;
}

size_t write(Playback & playback, uint64_t speech, uint64_t from, size_t n) {
    return playback.write(speech, counting(from, n).data(), n);
}

std::vector<float> render(Playback & playback, size_t n, int64_t now = 0, int64_t latency = 0) {
    std::vector<float> out(n, 9); // what is not written shows
    playback.render(out.data(), n, now, latency, false);
    return out;
}

bool counts(const std::vector<float> & out, size_t begin, size_t end, uint64_t from) {
    return std::equal(out.begin() + static_cast<ptrdiff_t>(begin), out.begin() + static_cast<ptrdiff_t>(end),
                      counting(from, end - begin).begin());
}

bool silent(const std::vector<float> & out, size_t begin = 0) {
    return std::all_of(out.begin() + static_cast<ptrdiff_t>(begin), out.end(), [](float value) { return value == 0; });
}

float falling(size_t i, size_t fade) { // gain of the i-th frame of a fade-out
    const double place = (static_cast<double>(fade - 1 - i) + 0.5) / static_cast<double>(fade);
    return static_cast<float>(0.5 - 0.5 * std::cos(3.14159265358979323846 * place));
}

} // namespace

TEST(what_is_written_is_played_whatever_the_sizes) {
    for (const size_t chunk : {1, 7, 63, 64}) {
        std::minstd_rand random(1);
        Playback playback(shape(64, 5));
        const uint64_t speech = playback.begin();
        uint64_t written = 0;
        uint64_t played = 0;
        while (played < 5000) {
            written += write(playback, speech, written, chunk);
            const size_t n = random() % 40;
            const std::vector<float> out = render(playback, n);
            const size_t there = std::min<size_t>(n, written - played);
            CHECK(counts(out, 0, there, played) && silent(out, there));
            played += there;
        }
        CHECK(playback.played(speech) == played && playback.meter().played == played);
        CHECK(playback.meter().backlog == written - played && playback.meter().dropped == 0);
    }
}

TEST(a_full_ring_takes_what_fits) {
    Playback playback(shape(100));
    const uint64_t speech = playback.begin();
    CHECK(write(playback, speech, 0, 300) == 100 && write(playback, speech, 0, 1) == 0);
    CHECK(!playback.wait_room(speech, 1, std::chrono::milliseconds(1)));
    render(playback, 30);
    CHECK(playback.wait_room(speech, 30, std::chrono::seconds(0)) && playback.room() == 30);
    CHECK(!playback.wait_room(speech, 31, std::chrono::milliseconds(1)));
    playback.stop();
    CHECK(playback.wait_room(speech, 31, std::chrono::milliseconds(1))); // it need not wait: it is over
}

TEST(silence_is_an_underrun_only_within_a_speech) {
    Playback playback(shape(100));
    CHECK(silent(render(playback, 10)));
    const uint64_t speech = playback.begin();
    write(playback, speech, 1, 25);
    for (int i = 0; i < 4; ++i) {
        render(playback, 10);
    }
    CHECK(playback.meter().underruns == 1 && playback.meter().underrun_frames == 15);
    write(playback, speech, 1, 5);
    playback.finish();
    for (int i = 0; i < 4; ++i) {
        render(playback, 10);
    }
    CHECK(playback.meter().underruns == 1 && playback.meter().underrun_frames == 15);
    write(playback, speech, 1, 5); // it goes on all the same
    render(playback, 10);
    CHECK(playback.meter().underruns == 2 && playback.meter().underrun_frames == 20);
    playback.stop();
    render(playback, 10);
    CHECK(playback.meter().underruns == 2);
}

TEST(a_stop_fades_out_in_the_very_next_buffer_and_counts_to_the_frame) {
    for (const size_t fade : {0, 1, 8, 50}) {
        Playback playback(shape(1000, fade));
        const uint64_t speech = playback.begin();
        write(playback, speech, 1000, 900);
        CHECK(counts(render(playback, 20), 0, 20, 1000));
        const uint64_t epoch = playback.stop();
        CHECK(!playback.settled(epoch) && playback.stopped(speech));
        std::vector<float> out = render(playback, 20);
        for (size_t i = 0; i < std::min<size_t>(fade, 20); ++i) {
            CHECK(out[i] == static_cast<float>(1020 + i) * kUnit * falling(i, fade));
        }
        CHECK(silent(out, std::min<size_t>(fade, 20)));
        CHECK(playback.settled(epoch) == (fade <= 20));
        for (int i = 0; i < 2; ++i) {
            out = render(playback, 20);
        }
        CHECK(playback.settled(epoch) && playback.played(speech) == 20 + fade);
        CHECK(playback.meter().dropped == 880 - fade && playback.meter().backlog == 0);
        CHECK(silent(render(playback, 20)) && playback.meter().underruns == 0);
    }
}

TEST(what_was_never_heard_is_dropped_without_a_sound) {
    Playback playback(shape(100, 8));
    const uint64_t speech = playback.begin();
    write(playback, speech, 1000, 50);
    const uint64_t epoch = playback.stop();
    CHECK(silent(render(playback, 10)) && playback.settled(epoch) && playback.played(speech) == 0);
}

TEST(the_next_speech_begins_right_behind_the_fade) {
    Playback playback(shape(1000, 8));
    const uint64_t first = playback.begin();
    write(playback, first, 1000, 500);
    render(playback, 10);
    playback.stop();
    const uint64_t second = playback.begin();
    CHECK(write(playback, first, 1, 10) == Playback::kStopped);
    CHECK(write(playback, second, 5000, 100) == 100);
    CHECK(write(playback, first, 1, 10) == Playback::kStopped);
    const std::vector<float> out = render(playback, 50);
    CHECK(out[7] != 0 && counts(out, 8, 50, 5000));
    CHECK(playback.played(first) == 18 && playback.played(second) == 42);
}

TEST(speeches_join_without_a_gap_and_are_counted_apart) {
    Playback playback(shape(1000, 8));
    std::vector<uint64_t> speeches;
    for (int i = 0; i < 3; ++i) {
        speeches.push_back(playback.begin());
        CHECK(write(playback, speeches.back(), 100 * static_cast<uint64_t>(i), 100) == 100);
        playback.finish();
    }
    CHECK(write(playback, speeches[0], 0, 1) == Playback::kStopped); // a later one has begun
    CHECK(counts(render(playback, 250), 0, 250, 0));
    CHECK(playback.played(speeches[0]) == 100 && playback.played(speeches[1]) == 100);
    CHECK(playback.played(speeches[2]) == 50 && playback.played(speeches[2] + 1) == 0);
    CHECK(playback.wait_played(speeches[1], 100, std::chrono::seconds(0)));
    CHECK(!playback.wait_played(speeches[2], 100, std::chrono::milliseconds(1)));
}

TEST(stops_without_a_device_are_all_settled_by_the_first_buffer) {
    Playback playback(shape(1000, 8));
    uint64_t epoch = 0;
    size_t taken = 0;
    for (int i = 0; i < 100; ++i) { // more than are remembered
        taken += write(playback, playback.begin(), 0, 1);
        epoch = playback.stop();
    }
    CHECK(taken == Playback::kSpeeches);
    CHECK(silent(render(playback, 10)) && playback.settled(epoch));
    const uint64_t speech = playback.begin();
    CHECK(write(playback, speech, 7, 10) == 10 && counts(render(playback, 10), 0, 10, 7));
}

TEST(a_pause_goes_on_exactly_where_it_was) {
    constexpr size_t kFade = 16;
    for (const size_t buffer : {1, 5, 16, 40}) {
        Playback playback(shape(2000, kFade));
        const uint64_t speech = playback.begin();
        write(playback, speech, 1000, 1000);
        std::vector<float> heard;
        size_t paused_at = 0;
        size_t resumed_at = 0;
        for (int i = 0; i < 61 || playback.meter().underruns == 0; ++i) {
            if (i == 10) {
                paused_at = heard.size();
                playback.pause(true);
            }
            if (i == 60) {
                resumed_at = heard.size();
                playback.pause(false);
            }
            const std::vector<float> out = render(playback, buffer);
            heard.insert(heard.end(), out.begin(), out.end());
        }
        CHECK(counts(heard, 0, paused_at, 1000));
        for (size_t i = 0; i < kFade; ++i) {
            const auto at = [&](size_t k) { return static_cast<float>(1000 + k) * kUnit; };
            CHECK(heard[paused_at + i] == at(paused_at + i) * falling(i, kFade));
            CHECK(heard[resumed_at + i] == at(paused_at + kFade + i) * falling(kFade - 1 - i, kFade));
        }
        for (size_t i = paused_at + kFade; i < resumed_at; ++i) {
            CHECK(heard[i] == 0);
        }
        const size_t rest = paused_at + 2 * kFade;
        CHECK(counts(heard, resumed_at + kFade, resumed_at + kFade + 1000 - rest, 1000 + rest));
        CHECK(playback.played(speech) == 1000); // and starved at its end alone
    }
}

TEST(a_stop_ends_a_pause) {
    Playback playback(shape(1000, 8));
    const uint64_t first = playback.begin();
    write(playback, first, 1000, 500);
    render(playback, 20);
    playback.pause(true);
    render(playback, 20);
    CHECK(playback.paused() && playback.played(first) == 28);
    const uint64_t epoch = playback.stop();
    write(playback, playback.begin(), 2000, 100);
    CHECK(counts(render(playback, 20), 0, 20, 2000)); // nothing sounded, so nothing fades
    CHECK(!playback.paused() && playback.settled(epoch) && playback.played(first) == 28);
}

TEST(what_is_heard_is_behind_by_the_latency) {
    constexpr int64_t kMs = 1'000'000; // 16 frames
    Playback playback(shape(2000));
    const uint64_t speech = playback.begin();
    write(playback, speech, 0, 640);
    int64_t now = 100 * kMs;
    for (int i = 0; i < 4; ++i, now += 10 * kMs) {
        render(playback, 160, now, 30 * kMs);
    }
    CHECK(playback.played(speech) == 640);
    CHECK(playback.heard(speech, 100 * kMs) == 0 && playback.heard(speech, 130 * kMs) == 0);
    CHECK(playback.heard(speech, 131 * kMs) == 16 && playback.heard(speech, 145 * kMs) == 240);
    CHECK(playback.heard(speech, 500 * kMs) == 640 && playback.heard(speech + 1, 500 * kMs) == 0);
    CHECK(playback.meter().latency_ms == 30);
    playback.finish();
    render(playback, 160, now, 30 * kMs);
    const uint64_t second = playback.begin();
    write(playback, second, 0, 100);
    render(playback, 160, now + 10 * kMs, 30 * kMs);
    CHECK(playback.heard(second, now + 41 * kMs) == 16 && playback.heard(speech, now + 41 * kMs) == 640);
}

TEST(every_channel_gets_the_sound_and_nothing_wraps_around) {
    Playback playback(shape(100, 0, 3, SampleType::int16));
    const std::vector<float> samples{0.5F, 1.0F, 2.0F, -1.0F, -2.0F, 3.0F / 32768};
    CHECK(playback.write(playback.begin(), samples.data(), samples.size()) == 6);
    std::vector<int16_t> out(21, 9);
    playback.render(out.data(), 7, 0, 0, false);
    const std::vector<int16_t> expected{16384, 32767, 32767, -32768, -32768, 3, 0};
    for (size_t i = 0; i < out.size(); ++i) {
        CHECK(out[i] == expected[i / 3]);
    }
}

TEST(the_volume_moves_within_one_buffer) {
    Playback playback(shape(1000));
    const std::vector<float> ones(400, 0.5F);
    playback.write(playback.begin(), ones.data(), ones.size());
    playback.set_volume(0.5F);
    const std::vector<float> moving = render(playback, 100);
    CHECK(moving[0] == 0.5F && std::abs(moving[50] - 0.375F) < 1e-4F && moving[99] > 0.25F);
    const std::vector<float> there = render(playback, 100);
    CHECK(std::all_of(there.begin(), there.end(), [](float value) { return value == 0.25F; }));
}

// A writer that never notices, a control that stops and pauses at random, and a device: what is heard
// of each speech is its beginning, whole; nothing of it comes once its stop is settled.
TEST(three_threads_play_beginnings_and_nothing_else) {
    Playback playback(shape(512, 16));
    std::atomic<uint64_t> current{playback.begin()};
    std::atomic<bool> over{false};
    std::thread writer([&] {
        std::minstd_rand random(1);
        while (!over) {
            const uint64_t speech = current;
            const std::vector<float> samples(random() % 100 + 1, static_cast<float>(speech % 1000 + 1) / 1001);
            if (playback.write(speech, samples.data(), samples.size()) == 0) {
                playback.wait_room(speech, 32, std::chrono::milliseconds(1));
            }
        }
    });
    bool right = true;
    std::thread device([&] {
        std::minstd_rand random(2);
        std::vector<float> out;
        while (!over) {
            out.assign(random() % 64 + 1, 9);
            playback.render(out.data(), out.size(), Playback::now_ns(), 1'000'000, false);
            right = right && std::all_of(out.begin(), out.end(), [](float value) { return value >= 0 && value <= 1; });
            if (random() % 8 == 0) {
                std::this_thread::yield();
            }
        }
    });
    std::minstd_rand random(3);
    for (int i = 0; i < 2000; ++i) {
        const uint64_t speech = current;
        if (random() % 4 == 0) {
            playback.pause(true);
            std::this_thread::yield();
            playback.pause(random() % 2 == 0);
        }
        const uint64_t epoch = playback.stop();
        while (!playback.wait_settled(epoch, std::chrono::seconds(1))) {
        }
        const uint64_t played = playback.played(speech);
        current = playback.begin();
        std::this_thread::yield();
        CHECK(playback.played(speech) == played); // final
        CHECK(playback.heard(speech, Playback::now_ns()) <= played);
    }
    over = true;
    writer.join();
    device.join();
    const PlaybackMeter meter = playback.meter();
    CHECK(right && meter.played > 0);
    CHECK(meter.written == meter.played + meter.dropped + meter.backlog);
}

TEST(the_callback_tells_latency_and_underflows) {
    Playback playback(shape(100));
    playback.set_latency(0.5);
    std::vector<float> out(10);
    CHECK(mullama_playback_render(nullptr, out.data(), 10, nullptr, 0, &playback) == 0);
    CHECK(playback.meter().latency_ms == 500);
    MullamaPaTimeInfo time{0.0, 10.0, 10.025};
    CHECK(mullama_playback_render(nullptr, out.data(), 10, &time, 4, &playback) == 0);
    CHECK(std::abs(playback.meter().latency_ms - 25) < 1e-3);
    time.output_dac_time = 1e9; // nonsense
    mullama_playback_render(nullptr, out.data(), 10, &time, 0, &playback);
    CHECK(std::abs(playback.meter().latency_ms - 25) < 1e-3);
    CHECK(playback.meter().device_flags == 1 && playback.meter().buffers == 3);
    CHECK(playback.last_buffer_ms() >= 0);
}

TEST(a_playback_of_no_size_is_refused) {
    for (const PlaybackShape & bad : {shape(0), shape(8, 0, 0), shape(size_t{1} << 40), shape(8, 0, 65)}) {
        try {
            const Playback playback(bad);
            CHECK(false);
        } catch (const Error & error) {
            CHECK(error.code == Errc::invalid_option);
        }
    }
}
