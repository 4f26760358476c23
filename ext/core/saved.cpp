#include "saved.hpp"

#include "bytes.hpp"
#include "digest.hpp"
#include "partial_file.hpp"

#include "llama.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

namespace mullama {

namespace {

constexpr std::array<uint8_t, 8> magic = {'M', 'L', 'M', 'S', 'T', 'A', 'T', 'E'};
constexpr uint32_t version = 1;
constexpr uint32_t most_sequences = 256;
constexpr uint32_t most_runs = 1U << 20U;
constexpr int64_t most_rows = int64_t{1} << 30U;
constexpr uint32_t most_parts = 3;
constexpr uint32_t most_loras = 256;
constexpr uint32_t name_bytes = 4096;
constexpr uint32_t note_bytes = 64U << 20U;

// -- writing

void put(ByteWriter & out, const StateIdentity & identity) {
    out.text(identity.model_name);
    out.text(identity.model);
    out.text(identity.media);
    out.text(identity.type_k);
    out.text(identity.type_v);
    out.put(static_cast<uint32_t>(identity.settings.transposed_values));
    out.put(identity.settings.rope_scaling);
    out.put(identity.settings.yarn_orig_ctx);
    for (const float value : identity.settings.rope) {
        out.put(value);
    }
}

void put(ByteWriter & out, const Trace & trace) {
    out.put(trace.exact_rows());
    out.put(static_cast<uint32_t>(trace.runs().size()));
    for (const Trace::Run & run : trace.runs()) {
        out.text(run.key);
        out.put(run.start);
        out.put(run.rows);
        out.put(run.positions);
        for (const llama_token token : run.tokens) {
            out.put(token);
        }
    }
}

void put(ByteWriter & out, const AdapterMark & mark) {
    out.put(static_cast<uint32_t>(mark.loras.size()));
    for (const auto & [name, scale] : mark.loras) {
        out.text(name);
        out.put(scale);
    }
    out.text(mark.control);
}

void put(ByteWriter & out, const SavedSequence & sequence) {
    put(out, sequence.trace);
    put(out, sequence.adapters);
    out.put(static_cast<uint32_t>(sequence.parts.size()));
    for (const KvPart & part : sequence.parts) {
        out.put(static_cast<uint32_t>(part.kind));
        out.put(part.cells);
        out.put(static_cast<uint64_t>(part.body.size()));
        out.bytes(part.body);
    }
}

// -- reading

Error strange(const std::string & what) {
    return {Errc::state, "it cannot be right: " + what, {}, "The file is damaged or was made up"};
}

bool printable(const std::string & text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// For a message, which must be text whatever a file says.
std::string shown(std::string text) {
    std::replace_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return text;
}

StateIdentity identity_of(ByteReader & in) {
    StateIdentity out;
    out.model_name = shown(in.text(name_bytes));
    out.model = in.text(name_bytes);
    out.media = in.text(name_bytes);
    out.type_k = shown(in.text(name_bytes));
    out.type_v = shown(in.text(name_bytes));
    out.settings.transposed_values = in.get<uint32_t>() != 0;
    out.settings.rope_scaling = in.get<int32_t>();
    out.settings.yarn_orig_ctx = in.get<uint32_t>();
    for (float & value : out.settings.rope) {
        value = in.get<float>();
    }
    return out;
}

Trace::Run run_of(ByteReader & in) {
    Trace::Run run;
    run.key = in.text(name_bytes);
    run.start = in.get<llama_pos>();
    run.rows = in.get<int32_t>();
    run.positions = in.get<llama_pos>();
    if (run.rows < 1 || run.rows > most_rows || run.positions < 1 || run.positions > most_rows || run.start < 0 ||
        (run.key.empty() && run.positions != run.rows) || !printable(run.key)) {
        throw strange("a run of " + std::to_string(run.rows) + " rows");
    }
    if (run.key.empty()) {
        in.expect(static_cast<uint64_t>(run.rows) * sizeof(llama_token));
        run.tokens.resize(static_cast<size_t>(run.rows));
        for (llama_token & token : run.tokens) {
            token = in.get<llama_token>();
        }
    }
    return run;
}

Trace trace_of(ByteReader & in) {
    const auto exact_rows = in.get<int32_t>();
    const auto n_runs = in.get<uint32_t>();
    std::vector<Trace::Run> runs;
    int64_t rows = 0;
    int64_t behind = 0;
    for (uint32_t i = 0; i < n_runs; ++i) {
        if (i == most_runs) {
            throw strange(std::to_string(n_runs) + " runs");
        }
        Trace::Run & run = runs.emplace_back(run_of(in));
        if (run.start < behind) {
            throw strange("rows that overlap");
        }
        rows += run.rows;
        behind = int64_t{run.start} + run.positions;
        if (rows > most_rows || behind > most_rows) {
            throw strange("too many rows");
        }
    }
    if (exact_rows < 0 || exact_rows > rows) {
        throw strange("more exact rows than rows");
    }
    return {std::move(runs), exact_rows};
}

AdapterMark mark_in(ByteReader & in) {
    AdapterMark mark;
    const auto n = in.get<uint32_t>();
    if (n > most_loras) {
        throw strange(std::to_string(n) + " adapters");
    }
    for (uint32_t i = 0; i < n; ++i) {
        std::string name = in.text(name_bytes);
        mark.loras.emplace_back(std::move(name), in.get<float>());
    }
    mark.control = in.text(name_bytes);
    return mark;
}

SavedSequence sequence_of(ByteReader & in) {
    SavedSequence out;
    out.trace = trace_of(in);
    out.adapters = mark_in(in);
    const auto n_parts = in.get<uint32_t>();
    if (n_parts > most_parts || (n_parts == 0) != (out.trace.rows() == 0)) {
        throw strange(std::to_string(n_parts) + " caches");
    }
    for (uint32_t i = 0; i < n_parts; ++i) {
        KvPart part;
        const auto kind = in.get<uint32_t>();
        if (kind != static_cast<uint32_t>(KvPart::Kind::attention) && kind != static_cast<uint32_t>(KvPart::Kind::recurrent)) {
            throw strange("a cache of an unknown kind");
        }
        part.kind = static_cast<KvPart::Kind>(kind);
        part.cells = in.get<uint32_t>();
        part.body = in.take(in.get<uint64_t>());
        out.parts.push_back(part);
    }
    return out;
}

std::array<uint8_t, Digest::size> checksum(std::span<const uint8_t> data) {
    Digest digest;
    digest.add(data.data(), data.size());
    return digest.bytes();
}

// The bytes between what says how to read them and the checksum. Throws Error(state).
std::span<const uint8_t> content(std::span<const uint8_t> bytes) {
    if (bytes.size() < magic.size() || !std::equal(magic.begin(), magic.end(), bytes.begin())) {
        throw Error(Errc::state, "it is not a saved state", {}, "Save one with Session.save or Engine.save");
    }
    ByteReader in(bytes.subspan(magic.size()));
    const auto own = in.get<uint32_t>();
    const auto layout = in.get<uint32_t>();
    if (own != version || layout != LLAMA_STATE_SEQ_VERSION) {
        throw Error(Errc::state,
                    "it was written in version " + std::to_string(own) + "." + std::to_string(layout) +
                        " of the format and this is version " + std::to_string(version) + "." +
                        std::to_string(LLAMA_STATE_SEQ_VERSION),
                    {}, "Save it again with this version of mullama-media");
    }
    const auto size = in.get<uint64_t>();
    if (size != bytes.size()) {
        throw Error(Errc::state,
                    "it should have " + std::to_string(size) + " bytes and has " + std::to_string(bytes.size()), {},
                    "It was cut off or joined to something; copy it again");
    }
    const auto head = magic.size() + in.at();
    if (bytes.size() < head + Digest::size) {
        throw Error(Errc::state, "it ends too early");
    }
    const auto signed_part = bytes.first(bytes.size() - Digest::size);
    const auto found = bytes.last(Digest::size);
    const auto expected = checksum(signed_part);
    if (!std::equal(found.begin(), found.end(), expected.begin())) {
        throw Error(Errc::state, "its checksum is wrong", {}, "It was damaged; copy it again or do without it");
    }
    return signed_part.subspan(head);
}

// Throws unless both are the same.
void same(const std::string & what, const std::string & saved, const std::string & mine, const std::string & hint) {
    if (saved != mine) {
        throw Error(Errc::state, "it was saved with " + what + " " + saved + " and this engine has " + mine, {}, hint);
    }
}

std::string text_of(const CacheSettings & settings) {
    std::string out = std::to_string(settings.rope_scaling) + "/" + std::to_string(settings.yarn_orig_ctx);
    for (const float value : settings.rope) {
        out += '/';
        out += std::to_string(value);
    }
    return out;
}

} // namespace

AdapterMark mark_of(const AdapterSet * adapters) {
    AdapterMark mark;
    if (adapters == nullptr) {
        return mark;
    }
    for (const auto & [lora, scale] : adapters->loras()) {
        mark.loras.emplace_back(file_fingerprint(lora->path()), scale);
    }
    std::sort(mark.loras.begin(), mark.loras.end());
    if (const auto & control = adapters->control()) {
        Digest digest;
        digest.add(std::to_string(control->n_embd()));
        digest.add(control->values().data(), control->values().size() * sizeof(float));
        mark.control = digest.hex();
    }
    return mark;
}

std::shared_ptr<const std::vector<uint8_t>> read_bytes(const std::string & path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    auto bytes = std::make_shared<std::vector<uint8_t>>();
    constexpr size_t step = size_t{16} << 20U;
    for (size_t got = step; file && got == step;) {
        const size_t before = bytes->size();
        bytes->resize(before + step);
        got = std::fread(bytes->data() + before, 1, step, file.get());
        bytes->resize(before + got);
    }
    if (!file || std::ferror(file.get()) != 0) {
        throw Error(Errc::state, std::string("it cannot be read: ") + std::strerror(errno), path);
    }
    return bytes;
}

SavedState read_state(std::shared_ptr<const std::vector<uint8_t>> bytes, const std::string & where) {
    return naming(where, [&] {
        SavedState out;
        ByteReader in(content(*bytes));
        out.bytes = std::move(bytes);
        out.where = where;
        out.identity = identity_of(in);
        out.note = in.text(note_bytes);
        const auto n = in.get<uint32_t>();
        if (n > most_sequences) {
            throw strange(std::to_string(n) + " sequences");
        }
        for (uint32_t i = 0; i < n; ++i) {
            out.sequences.push_back(sequence_of(in));
        }
        if (!in.at_end()) {
            throw strange("bytes that belong to nothing");
        }
        return out;
    });
}

void check_identity(const SavedState & saved, const StateIdentity & mine) {
    const StateIdentity & its = saved.identity;
    if (its.model != mine.model) {
        const bool alike = its.model_name == shown(mine.model_name);
        throw Error(Errc::state,
                    alike ? "it was saved with another file of " + its.model_name
                          : "it was saved with the model " + its.model_name + " and this is " + mine.model_name,
                    {}, "Load the model it was saved with, under the same metadata overrides");
    }
    const bool has_media = std::any_of(saved.sequences.begin(), saved.sequences.end(), [](const SavedSequence & s) {
        return std::any_of(s.trace.runs().begin(), s.trace.runs().end(), [](const Trace::Run & r) { return !r.key.empty(); });
    });
    if (has_media && its.media != mine.media) {
        throw Error(Errc::state,
                    mine.media.empty() ? "it holds media and this engine has no encoders"
                                       : "its media were encoded with another mmproj",
                    {}, "Load the mmproj it was saved with");
    }
    same("cache_type_k", its.type_k, mine.type_k, "Make the engine with that cache type");
    same("cache_type_v", its.type_v, mine.type_v, "Make the engine with that cache type");
    const auto attention = [](const CacheSettings & s) { return std::string(s.transposed_values ? "off" : "on"); };
    same("flash_attention", attention(its.settings), attention(mine.settings),
         "Make the engine with that flash_attention");
    same("RoPE settings", text_of(its.settings), text_of(mine.settings),
         "Make the engine with the rope_ and yarn_ options it was saved with");
}

StateWriter::StateWriter(StateIdentity identity, std::string note, std::vector<TakenState> taken, const KvShape & shape)
    : taken_(std::move(taken)) {
    if (note.size() > note_bytes) {
        throw Error(Errc::invalid_option, "a note has at most " + std::to_string(note_bytes) + " bytes", "note");
    }
    saved_.identity = std::move(identity);
    saved_.note = std::move(note);
    for (TakenState & one : taken_) {
        SavedSequence & sequence = saved_.sequences.emplace_back();
        sequence.trace = one.trace;
        sequence.adapters = mark_of(one.adapters.get());
        if (one.trace.rows() > 0) {
            sequence.parts = parts_of_blob(one.blob, shape, one.trace);
            forget_owner(one.blob, sequence.parts, shape);
        }
    }
}

void StateWriter::write(const std::function<void(const void *, size_t)> & sink, uint64_t size) const {
    Digest digest;
    ByteWriter out([&](const void * data, size_t n_bytes) {
        digest.add(data, n_bytes);
        sink(data, n_bytes);
    });
    out.bytes(magic);
    out.put(version);
    out.put(static_cast<uint32_t>(LLAMA_STATE_SEQ_VERSION));
    out.put(size);
    put(out, saved_.identity);
    out.text(saved_.note);
    out.put(static_cast<uint32_t>(saved_.sequences.size()));
    for (const SavedSequence & sequence : saved_.sequences) {
        put(out, sequence);
    }
    const auto end = digest.bytes();
    sink(end.data(), end.size());
}

uint64_t StateWriter::size() const {
    uint64_t size = Digest::size;
    ByteWriter counter([&](const void *, size_t n_bytes) { size += n_bytes; });
    counter.bytes(magic);
    counter.put(uint64_t{0});
    counter.put(uint64_t{0});
    put(counter, saved_.identity);
    counter.text(saved_.note);
    counter.put(uint32_t{0});
    for (const SavedSequence & sequence : saved_.sequences) {
        put(counter, sequence);
    }
    return size;
}

std::vector<uint8_t> StateWriter::bytes() const {
    std::vector<uint8_t> out(size());
    size_t at = 0;
    write(
        [&](const void * data, size_t n_bytes) {
            std::memcpy(out.data() + at, data, n_bytes);
            at += n_bytes;
        },
        out.size());
    return out;
}

void StateWriter::write(const std::string & path) const {
    PartialFile file(path, Errc::state);
    write([&](const void * data, size_t n_bytes) { file.write(data, n_bytes); }, size());
    file.close();
    file.publish();
}

void sign_state(std::vector<uint8_t> & bytes) {
    if (bytes.size() < Digest::size) {
        return;
    }
    const auto end = checksum(std::span(bytes).first(bytes.size() - Digest::size));
    std::copy(end.begin(), end.end(), bytes.end() - Digest::size);
}

} // namespace mullama
