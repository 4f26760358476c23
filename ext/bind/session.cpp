#include "session.hpp"

#include "saved.hpp"

using namespace nb::literals;

namespace mullama::bind {

namespace {

using Bytes = std::shared_ptr<const std::vector<uint8_t>>;
using Adapters = std::vector<std::shared_ptr<AdapterSet>>;

// (kind, rows, position, positions, token ids, key)
nb::tuple tuple_of(const Trace::Run & run) {
    const char * kind = run.key.empty() ? "text" : run.key.starts_with("pcm:") ? "audio" : "image";
    return nb::make_tuple(kind, run.rows, run.start, run.positions, nb::tuple(nb::cast(run.tokens)), run.key);
}

// (rows, positions, exact rows, runs)
nb::tuple describe(Engine & engine, uint64_t session) {
    Trace trace;
    {
        const nb::gil_scoped_release release;
        trace = engine.describe(session);
    }
    nb::list runs;
    for (const Trace::Run & run : trace.runs()) {
        runs.append(tuple_of(run));
    }
    return nb::make_tuple(trace.rows(), trace.positions(), trace.exact_rows(), nb::tuple(runs));
}

nb::bytes bytes_of(const StateWriter & writer) {
    std::vector<uint8_t> bytes;
    {
        const nb::gil_scoped_release release;
        bytes = writer.bytes();
    }
    return nb::bytes(bytes.data(), bytes.size());
}

// A str names a file; bytes are the state itself.
SavedState read(const nb::object & source) {
    if (nb::isinstance<nb::bytes>(source)) {
        const auto raw = nb::cast<nb::bytes>(source);
        const auto * data = reinterpret_cast<const uint8_t *>(raw.c_str());
        const size_t size = raw.size();
        const nb::gil_scoped_release release;
        return read_state(std::make_shared<const std::vector<uint8_t>>(data, data + size), {});
    }
    const auto path = nb::cast<std::string>(source);
    const nb::gil_scoped_release release;
    return read_state(read_bytes(path), path);
}

std::vector<std::shared_ptr<const AdapterSet>> constant(const Adapters & adapters) {
    return {adapters.begin(), adapters.end()};
}

nb::bytes bytes_of(const std::string & text) { return nb::bytes(text.data(), text.size()); }

} // namespace

void bind_session(nb::module_ & module, nb::class_<Engine> & engine) {
    using Free = nb::call_guard<nb::gil_scoped_release>;

    nb::class_<StateWriter>(module, "StateWriter", "A state that was taken from an engine; the engine goes on.")
        .def_prop_ro("sequences", &StateWriter::sequences)
        .def("bytes", [](const StateWriter & self) { return bytes_of(self); })
        .def("write", [](const StateWriter & self, const std::string & path) { self.write(path); }, "path"_a, Free());

    nb::class_<SavedState>(module, "SavedState", "A state that was read; it fits together, but not yet an engine.")
        .def(nb::new_([](const nb::object & source) { return read(source); }), "source"_a)
        .def_prop_ro("note", [](const SavedState & self) { return bytes_of(self.note); })
        .def_prop_ro("sequences", [](const SavedState & self) { return self.sequences.size(); });

    engine.def("open_session", &Engine::open_session, Free())
        .def("close_session", &Engine::close_session, "session"_a, "wait"_a, Free())
        .def("describe", &describe, "session"_a)
        .def("remove", &Engine::remove, "session"_a, "start"_a, "end"_a.none(), "close_gap"_a, Free())
        .def("keep", &Engine::keep, "session"_a, "start"_a, "end"_a.none(), "close_gap"_a, Free())
        .def("copy_session", &Engine::copy_session, "session"_a, Free())
        .def(
            "save",
            [](Engine & self, uint64_t session, const nb::bytes & note) {
                std::string text(note.c_str(), note.size());
                const nb::gil_scoped_release release;
                return self.save(session, std::move(text));
            },
            "session"_a, "note"_a)
        .def(
            "save_idle",
            [](Engine & self, const nb::bytes & note) {
                std::string text(note.c_str(), note.size());
                const nb::gil_scoped_release release;
                return self.save_idle(std::move(text));
            },
            "note"_a)
        .def(
            "restore",
            [](Engine & self, const SavedState & saved, std::shared_ptr<AdapterSet> adapters) {
                const nb::gil_scoped_release release;
                return self.restore(saved, std::move(adapters));
            },
            "saved"_a, "adapters"_a.none())
        .def(
            "restore_all",
            [](Engine & self, const SavedState & saved, const Adapters & adapters) {
                const nb::gil_scoped_release release;
                return self.restore_all(saved, constant(adapters));
            },
            "saved"_a, "adapters"_a);

    module.def(
        "sign_state",
        [](const nb::bytes & state) {
            std::vector<uint8_t> bytes(reinterpret_cast<const uint8_t *>(state.c_str()),
                                       reinterpret_cast<const uint8_t *>(state.c_str()) + state.size());
            sign_state(bytes);
            return nb::bytes(bytes.data(), bytes.size());
        },
        "state"_a, "For tests: its checksum made anew");
}

} // namespace mullama::bind
