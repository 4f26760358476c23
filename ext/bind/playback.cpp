#include "arrays.hpp"
#include "bind.hpp"
#include "error.hpp"
#include "playback.hpp"

using namespace nb::literals;

namespace mullama::bind {

namespace {

using std::chrono::microseconds;

// With the GIL, which keeps two Python writers from each other; it is one memcpy.
std::optional<size_t> write(Playback & self, uint64_t speech, const Floats & samples) {
    const size_t taken = self.write(speech, samples.data(), samples.shape(0));
    return taken == Playback::kStopped ? std::nullopt : std::optional(taken);
}

template <class T> nb::object rendered(Playback & self, size_t frames, int64_t now, int64_t latency, bool underflow) {
    std::vector<T> out(frames * self.shape().channels);
    self.render(out.data(), frames, now, latency, underflow);
    return array_of(std::move(out));
}

nb::object render(Playback & self, size_t frames, int64_t now, int64_t latency, bool underflow) {
    return self.shape().type == SampleType::int16 ? rendered<int16_t>(self, frames, now, latency, underflow)
                                                  : rendered<float>(self, frames, now, latency, underflow);
}

template <auto function> uintptr_t address(nb::handle) { return reinterpret_cast<uintptr_t>(function); }

} // namespace

void bind_playback(nb::module_ & module) {
    nb::class_<PlaybackMeter>(module, "PlaybackMeter")
        .def_ro("written", &PlaybackMeter::written)
        .def_ro("played", &PlaybackMeter::played)
        .def_ro("dropped", &PlaybackMeter::dropped)
        .def_ro("backlog", &PlaybackMeter::backlog)
        .def_ro("underruns", &PlaybackMeter::underruns)
        .def_ro("underrun_frames", &PlaybackMeter::underrun_frames)
        .def_ro("device_flags", &PlaybackMeter::device_flags)
        .def_ro("buffers", &PlaybackMeter::buffers)
        .def_ro("max_interval_ms", &PlaybackMeter::max_interval_ms)
        .def_ro("max_buffer_us", &PlaybackMeter::max_buffer_us)
        .def_ro("mean_buffer_us", &PlaybackMeter::mean_buffer_us)
        .def_ro("latency_ms", &PlaybackMeter::latency_ms);

    nb::class_<Playback>(module, "Playback", "Lock-free ring to a loudspeaker: one thread writes, a callback plays.")
        .def(
            "__init__",
            [](Playback * self, const std::string & dtype, size_t channels, double rate, size_t capacity, size_t fade) {
                if (dtype != "int16" && dtype != "float32") {
                    throw Error(Errc::invalid_option, "samples are int16 or float32, not " + dtype, "dtype");
                }
                const SampleType type = dtype == "int16" ? SampleType::int16 : SampleType::float32;
                new (self) Playback({type, channels, rate, capacity, fade});
            },
            "dtype"_a, "channels"_a, "sample_rate"_a, "capacity_frames"_a, "fade_frames"_a)
        .def("begin", &Playback::begin)
        .def("stop", &Playback::stop)
        .def("pause", &Playback::pause, "on"_a)
        .def_prop_ro("paused", &Playback::paused)
        .def_prop_rw("volume", &Playback::volume, &Playback::set_volume)
        .def("set_latency", &Playback::set_latency, "seconds"_a)
        .def("restart", &Playback::restart)
        .def("stopped", &Playback::stopped, "speech"_a)
        .def("played", &Playback::played, "speech"_a)
        .def("heard", &Playback::heard, "speech"_a, "at_ns"_a)
        .def("write", &write, "speech"_a, "samples"_a.noconvert())
        .def("finish", &Playback::finish)
        .def("room", &Playback::room)
        .def(
            "wait_room",
            [](Playback & self, uint64_t speech, size_t frames, int64_t us) {
                return self.wait_room(speech, frames, microseconds(us));
            },
            "speech"_a, "frames"_a, "timeout_us"_a, nb::call_guard<nb::gil_scoped_release>())
        .def(
            "wait_played",
            [](Playback & self, uint64_t speech, uint64_t frames, int64_t us) {
                return self.wait_played(speech, frames, microseconds(us));
            },
            "speech"_a, "frames"_a, "timeout_us"_a, nb::call_guard<nb::gil_scoped_release>())
        .def(
            "wait_settled",
            [](Playback & self, uint64_t epoch, int64_t us) { return self.wait_settled(epoch, microseconds(us)); },
            "epoch"_a, "timeout_us"_a, nb::call_guard<nb::gil_scoped_release>())
        .def("wake", &Playback::wake)
        .def("meter", &Playback::meter)
        .def("render", &render, "frames"_a, "now_ns"_a, "latency_ns"_a, "underflow"_a)
        .def_prop_ro("last_buffer_ms", &Playback::last_buffer_ms)
        .def_prop_ro_static("NOW_NS", [](nb::handle) { return Playback::now_ns(); }, "the clock of `at_ns`")
        .def_prop_ro("address", [](Playback & self) { return reinterpret_cast<uintptr_t>(&self); })
        .def_prop_ro_static("RENDER", &address<&mullama_playback_render>, "a PaStreamCallback")
        .def_prop_ro_static("STOPPED", &address<&mullama_playback_stopped>, "a PaStreamFinishedCallback");
}

} // namespace mullama::bind
