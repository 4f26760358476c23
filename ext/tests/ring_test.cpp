#include "check.hpp"
#include "error.hpp"
#include "ring.hpp"

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

using namespace mullama;
using Kind = Ring::Kind;

namespace {

RingShape shape(size_t capacity, size_t block, size_t channels = 1) {
    return {SampleType::float32, channels, 16000, capacity, block};
}

// Frames whose value is their own index, so that a frame in the wrong place shows.
std::vector<float> counting(uint64_t from, size_t n) {
    std::vector<float> out(n);
    std::iota(out.begin(), out.end(), static_cast<float>(from));
    return out;
}

void write(Ring & ring, uint64_t from, size_t n) { ring.write(counting(from, n).data(), n); }

bool counts(const Ring::Item & item) {
    const auto * values = reinterpret_cast<const float *>(item.data);
    for (size_t i = 0; i < item.count; ++i) {
        if (values[i] != static_cast<float>(item.at + i)) {
            return false;
        }
    }
    return item.kind == Kind::frames;
}

} // namespace

TEST(frames_come_out_as_they_went_in_whatever_the_sizes) {
    for (const size_t chunk : {1, 7, 8, 9, 64}) {
        Ring ring(shape(64, 8));
        uint64_t written = 0;
        uint64_t read = 0;
        while (read < 1000) {
            write(ring, written, chunk);
            written += chunk;
            for (Ring::Item item = ring.read(5); item.kind != Kind::nothing; item = ring.read(5)) {
                CHECK(counts(item) && item.at == read && item.count <= 5);
                read += item.count;
            }
        }
        CHECK(read == written && ring.meter().delivered == written && ring.meter().overrun == 0);
    }
}

TEST(as_many_frames_wait_as_were_asked_for) {
    Ring ring(shape(30, 8));
    write(ring, 0, 3);
    CHECK(ring.read(0).count == 3);
    write(ring, 3, 30);
    uint64_t at = 3;
    for (Ring::Item item = ring.read(0); item.kind != Kind::nothing; item = ring.read(0)) {
        CHECK(counts(item) && item.at == at);
        at += item.count;
    }
    CHECK(at == 33);
}

TEST(the_oldest_frames_are_dropped_and_counted_where_they_are_missing) {
    Ring ring(shape(32, 8));
    write(ring, 0, 5);
    CHECK(ring.read(0).count == 5);
    write(ring, 5, 1000);
    uint64_t lost = 0;
    uint64_t at = 5;
    for (Ring::Item item = ring.read(0); item.kind != Kind::nothing; item = ring.read(0)) {
        CHECK(item.at == at);
        CHECK(item.kind == Kind::gap || counts(item));
        lost += item.kind == Kind::gap ? item.count : 0;
        CHECK(item.kind == Kind::frames || (item.overrun == item.count && !item.device));
        at += item.count;
    }
    CHECK(at == 1005);
    const RingMeter meter = ring.meter();
    CHECK(lost > 0 && lost == meter.overrun && meter.overruns == 1);
    CHECK(meter.delivered + meter.overrun == meter.written && meter.backlog == 0);
    CHECK(meter.delivered >= 32); // the newest are there
}

TEST(a_view_stays_as_it_is_while_the_producer_laps_it) {
    Ring ring(shape(32, 8));
    write(ring, 0, 6);
    const Ring::Item view = ring.read(0);
    for (uint64_t at = 6; at < 5000; at += 10) {
        write(ring, at, 10);
        CHECK(counts(view) && view.count == 6);
    }
    CHECK(ring.read(0).at == 6); // the rest of the block that was held
    CHECK(ring.read(0).kind == Kind::gap);
}

TEST(a_loss_in_the_device_is_where_it_was) {
    Ring ring(shape(64, 8));
    write(ring, 0, 5);
    ring.gap(100);
    write(ring, 105, 4);
    ring.gap(0);
    write(ring, 109, 4);
    ring.gap(7);
    ring.finish();
    Ring::Item item = ring.read(0);
    CHECK(counts(item) && item.count == 5);
    item = ring.read(0);
    CHECK(item.kind == Kind::gap && item.at == 5 && item.count == 100 && item.device && item.overrun == 0);
    item = ring.read(0);
    CHECK(counts(item) && item.at == 105 && item.count == 4);
    item = ring.read(0);
    CHECK(item.kind == Kind::gap && item.at == 109 && item.count == 0 && item.device);
    CHECK(ring.read(0).at == 109);
    item = ring.read(0);
    CHECK(item.kind == Kind::gap && item.at == 113 && item.count == 7);
    CHECK(ring.read(0).kind == Kind::end && ring.read(0).kind == Kind::end);
    CHECK(ring.meter().device_lost == 107);
}

TEST(a_loss_in_a_block_that_was_dropped_is_counted_too) {
    Ring ring(shape(16, 8));
    write(ring, 0, 8);
    CHECK(ring.read(0).count == 8);
    write(ring, 8, 4);
    ring.gap(50);
    write(ring, 62, 400);
    const Ring::Item item = ring.read(0);
    CHECK(item.kind == Kind::gap && item.at == 8 && item.device && item.count == item.overrun + 50);
    CHECK(counts(ring.read(0)));
}

TEST(a_writer_that_may_wait_loses_nothing) {
    Ring ring(shape(32, 8));
    std::thread producer([&] {
        for (uint64_t at = 0; at < 20000; at += 16) {
            while (!ring.wait_room(16, std::chrono::seconds(1))) {
            }
            write(ring, at, 16);
        }
        ring.finish();
    });
    uint64_t at = 0;
    for (;;) {
        const Ring::Item item = ring.read(0);
        if (item.kind == Kind::end) {
            break;
        }
        if (item.kind == Kind::nothing) {
            ring.wait(std::chrono::seconds(1));
            continue;
        }
        CHECK(counts(item) && item.at == at);
        at += item.count;
    }
    producer.join();
    CHECK(at == 20000 && ring.meter().overrun == 0);
}

// Two threads, no brakes: every frame is delivered as it was written or counted as lost.
void race(size_t capacity, size_t block, size_t most, int writes, bool yields) {
    Ring ring(shape(capacity, block));
    std::thread producer([&] {
        std::minstd_rand random(1);
        uint64_t at = 0;
        std::vector<float> frames(most);
        for (int i = 0; i < writes; ++i) {
            const size_t n = random() % most + 1;
            if (random() % 64 == 0) {
                const uint64_t lost = random() % 3;
                ring.gap(lost);
                at += lost;
            }
            std::iota(frames.begin(), frames.begin() + static_cast<ptrdiff_t>(n), static_cast<float>(at));
            ring.write(frames.data(), n);
            at += n;
            if (yields && random() % 16 == 0) {
                std::this_thread::yield();
            }
        }
        ring.finish();
    });
    std::minstd_rand random(2);
    uint64_t next = 0;
    uint64_t lost = 0;
    bool right = true;
    for (Ring::Item item = ring.read(0); item.kind != Kind::end; item = ring.read(random() % (2 * block))) {
        if (item.kind == Kind::nothing) {
            if (yields) {
                ring.wait(std::chrono::milliseconds(100));
            }
            continue;
        }
        right = right && item.at == next;
        next = item.at + item.count;
        lost += item.kind == Kind::gap ? item.count : 0;
        right = right && (item.kind == Kind::gap || counts(item));
        if (yields && random() % 32 == 0) {
            std::this_thread::yield();
        }
        right = right && (item.kind == Kind::gap || counts(item)); // still
    }
    producer.join();
    const RingMeter meter = ring.meter();
    CHECK(right);
    CHECK(meter.delivered + meter.overrun == meter.written);
    CHECK(lost == meter.overrun + meter.device_lost);
    CHECK(next == meter.written + meter.device_lost);
}

TEST(two_threads_lose_nothing_uncounted) {
    for (const size_t block : {1, 3, 16}) {
        race(4 * block, block, 3 * block, 5000, true);
    }
}

// The smallest ring, lapped all the time: the reader must notice that its next block is gone.
TEST(a_reader_that_is_always_lapped_reads_no_torn_block) { race(1, 1, 2, 1'000'000, false); }

TEST(a_reader_wakes_when_frames_come) {
    Ring ring(shape(32, 8));
    CHECK(!ring.wait(std::chrono::milliseconds(1)));
    std::thread producer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        write(ring, 0, 1);
    });
    const auto began = std::chrono::steady_clock::now();
    CHECK(ring.wait(std::chrono::seconds(10)));
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
    producer.join();
}

TEST(the_callback_marks_an_overflow) {
    Ring ring(shape(64, 8, 2));
    const std::vector<float> frames(8, 0.5F);
    const MullamaPaTimeInfo time{1.0, 1.0, 0.0};
    CHECK(mullama_ring_capture(frames.data(), nullptr, 4, &time, 0, &ring) == 0);
    CHECK(mullama_ring_capture(frames.data(), nullptr, 4, nullptr, 2, &ring) == 0);
    CHECK(ring.read(0).count == 4);
    const Ring::Item item = ring.read(0);
    CHECK(item.kind == Kind::gap && item.device && item.at == 4 && item.count == 0);
    CHECK(ring.read(0).count == 4);
    CHECK(ring.meter().device_flags == 1 && ring.meter().buffers == 2);
}

TEST(drift_finds_a_loss_and_no_jitter) {
    std::minstd_rand random(3);
    for (const double ppm : {-200.0, 0.0, 200.0}) {
        Drift drift(16000);
        double time = 5;
        uint64_t found = 0;
        for (int i = 0; i < 6000; ++i) { // two minutes of 20 ms
            time += 0.02 * (1 + ppm * 1e-6);
            const double late = random() % 50 == 0 ? 0.15 : static_cast<double>(random() % 100) * 1e-4;
            found += drift.observe(time + late, 320);
            CHECK(found == 0 || i >= 3000);
            if (i == 3000) {
                time += 0.25; // 4000 frames are gone
            }
        }
        CHECK(std::abs(static_cast<double>(found) - 4000) < 100);
    }
}

TEST(drift_says_how_much_a_flag_means) {
    Drift drift(16000);
    for (int i = 0; i < 200; ++i) {
        CHECK(drift.observe(1 + i * 0.02, 320) == 0);
    }
    CHECK(drift.observe(1 + 200 * 0.02 + 0.05, 320) == 0);
    CHECK(drift.flagged() == 800);
    for (int i = 201; i < 600; ++i) {
        CHECK(drift.observe(1 + i * 0.02 + 0.05, 320) == 0); // not counted twice
    }
    CHECK(drift.flagged() == 0);
}

TEST(a_ring_of_no_size_is_refused) {
    for (const RingShape & bad : {shape(0, 0), shape(4, 8), shape(64, 8, 0), shape(size_t{1} << 60, 8)}) {
        try {
            const Ring ring(bad);
            CHECK(false);
        } catch (const Error & error) {
            CHECK(error.code == Errc::invalid_option);
        }
    }
}
