#include "arrays.hpp"
#include "bind.hpp"
#include "error.hpp"
#include "ring.hpp"

using namespace nb::literals;

namespace mullama::bind {

namespace {

using std::chrono::microseconds;

SampleType type_of(const std::string & dtype) {
    if (dtype != "int16" && dtype != "float32") {
        throw Error(Errc::invalid_option, "samples are int16 or float32, not " + dtype, "dtype");
    }
    return dtype == "int16" ? SampleType::int16 : SampleType::float32;
}

template <class T> using Frames = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T> const T * checked(const Ring & ring, const Frames<T> & frames) {
    const SampleType type = sizeof(T) == 2 ? SampleType::int16 : SampleType::float32;
    if (type != ring.shape().type || frames.shape(1) != ring.shape().channels) {
        throw Error(Errc::invalid_option, "the frames have another dtype or number of channels than the ring", "ring");
    }
    return frames.data();
}

// With the GIL, which keeps two Python writers from each other; it is one memcpy.
template <class T> void write(Ring & ring, const Frames<T> & frames) {
    ring.write(checked(ring, frames), frames.shape(0));
}

template <class T> void capture(Ring & ring, const Frames<T> & frames, double time, bool overflow) {
    ring.capture(checked(ring, frames), frames.shape(0), time, overflow);
}

template <class T> nb::object view(const nb::object & self, const Ring & ring, const Ring::Item & item) {
    const auto * data = reinterpret_cast<const T *>(item.data);
    const size_t shape[] = {item.count, ring.shape().channels};
    return nb::cast(nb::ndarray<nb::numpy, const T, nb::ndim<2>>(data, 2, shape, self));
}

// (at, view) | (at, lost, overrun, device) | None: nothing yet | False: the end
nb::object read(const nb::object & self, size_t max_frames) {
    Ring & ring = nb::cast<Ring &>(self);
    const Ring::Item item = ring.read(max_frames);
    switch (item.kind) {
        case Ring::Kind::nothing: return nb::none();
        case Ring::Kind::end: return nb::bool_(false);
        case Ring::Kind::gap: return nb::make_tuple(item.at, item.count, item.overrun, item.device);
        case Ring::Kind::frames: break;
    }
    return nb::make_tuple(item.at, ring.shape().type == SampleType::int16 ? view<int16_t>(self, ring, item)
                                                                          : view<float>(self, ring, item));
}

template <auto function> uintptr_t address(nb::handle) { return reinterpret_cast<uintptr_t>(function); }

} // namespace

void bind_ring(nb::module_ & module) {
    nb::class_<RingMeter>(module, "RingMeter")
        .def_ro("written", &RingMeter::written)
        .def_ro("delivered", &RingMeter::delivered)
        .def_ro("overrun", &RingMeter::overrun)
        .def_ro("device_lost", &RingMeter::device_lost)
        .def_ro("overruns", &RingMeter::overruns)
        .def_ro("device_flags", &RingMeter::device_flags)
        .def_ro("drift_losses", &RingMeter::drift_losses)
        .def_ro("backlog", &RingMeter::backlog)
        .def_ro("max_backlog", &RingMeter::max_backlog)
        .def_ro("buffers", &RingMeter::buffers)
        .def_ro("max_interval_ms", &RingMeter::max_interval_ms)
        .def_ro("max_buffer_us", &RingMeter::max_buffer_us)
        .def_ro("drift_frames", &RingMeter::drift_frames);

    nb::class_<Ring>(module, "Ring", "Lock-free ring: one thread writes, one thread reads.")
        .def(
            "__init__",
            [](Ring * self, const std::string & dtype, size_t channels, double rate, size_t capacity, size_t block) {
                new (self) Ring({type_of(dtype), channels, rate, capacity, block});
            },
            "dtype"_a, "channels"_a, "sample_rate"_a, "capacity_frames"_a, "block_frames"_a)
        .def("write", &write<int16_t>, "frames"_a.noconvert())
        .def("write", &write<float>, "frames"_a.noconvert())
        .def("gap", &Ring::gap, "lost"_a)
        .def("capture", &capture<int16_t>, "frames"_a.noconvert(), "time"_a, "overflow"_a)
        .def("capture", &capture<float>, "frames"_a.noconvert(), "time"_a, "overflow"_a)
        .def("restart", &Ring::restart)
        .def("finish", &Ring::finish)
        .def("room", &Ring::room)
        .def(
            "wait_room",
            [](Ring & self, size_t frames, int64_t us) { return self.wait_room(frames, microseconds(us)); },
            "frames"_a, "timeout_us"_a, nb::call_guard<nb::gil_scoped_release>())
        .def("read", &read, "max_frames"_a)
        .def(
            "wait", [](Ring & self, int64_t us) { return self.wait(microseconds(us)); }, "timeout_us"_a,
            nb::call_guard<nb::gil_scoped_release>())
        .def("wake", &Ring::wake)
        .def_prop_ro("position", &Ring::position)
        .def("meter", &Ring::meter)
        .def_prop_ro("last_capture_ms", &Ring::last_capture_ms)
        .def_prop_ro("address", [](Ring & self) { return reinterpret_cast<uintptr_t>(&self); })
        .def_prop_ro_static("CAPTURE", &address<&mullama_ring_capture>, "a PaStreamCallback")
        .def_prop_ro_static("STOPPED", &address<&mullama_ring_stopped>, "a PaStreamFinishedCallback");
}

} // namespace mullama::bind
