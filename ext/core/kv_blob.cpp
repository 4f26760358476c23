#include "kv_blob.hpp"

#include "bytes.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

namespace mullama {

namespace {

constexpr uint32_t blob_magic = 0xaf143cd8; // llama-context.cpp, io_magic
constexpr uint32_t most_layers = 4096;
constexpr uint64_t most_row_bytes = uint64_t{1} << 30U;

Error strange(const std::string & what) {
    return {Errc::state, "its KV cache cannot be right: " + what, {}, "The file is damaged or was made up"};
}

// Where a cache type has its real numbers: `numbers` of them, of 16 or 32 bits, at the start of each
// block; what follows them are integers. Without its sign bit a number must be below `limit`.
struct Numbers {
    ggml_type type;
    size_t block;
    size_t numbers;
    size_t width;
    uint32_t limit;
};
// 32-bit numbers may be as large as 16-bit ones: a cache of those is the usual one, and with larger
// ones the products of attention could overflow.
constexpr Numbers known[] = {
    {GGML_TYPE_F32, 4, 1, 4, 0x47800000}, {GGML_TYPE_F16, 2, 1, 2, 0x7C00},  {GGML_TYPE_BF16, 2, 1, 2, 0x4780},
    {GGML_TYPE_Q8_0, 34, 1, 2, 0x7C00},   {GGML_TYPE_Q4_0, 18, 1, 2, 0x7C00}, {GGML_TYPE_Q4_1, 20, 2, 2, 0x7C00},
    {GGML_TYPE_IQ4_NL, 18, 1, 2, 0x7C00}, {GGML_TYPE_Q5_0, 22, 1, 2, 0x7C00}, {GGML_TYPE_Q5_1, 24, 2, 2, 0x7C00},
};
constexpr Numbers of_state = {GGML_TYPE_F32, 4, 1, 4, 0x57800000}; // a recurrent state: up to 2^48

template <class T> bool within_limit(std::span<const uint8_t> data, const Numbers & how) {
    constexpr T without_sign = static_cast<T>(static_cast<T>(-1) >> 1U);
    bool within = true;
    if (how.block == sizeof(T)) { // the usual case, in a form that compilers vectorise
        for (size_t at = 0; at < data.size(); at += sizeof(T)) {
            T bits;
            std::memcpy(&bits, data.data() + at, sizeof(T));
            within &= (bits & without_sign) < how.limit;
        }
        return within;
    }
    for (size_t block = 0; block < data.size(); block += how.block) {
        for (size_t i = 0; i < how.numbers; ++i) {
            T bits;
            std::memcpy(&bits, data.data() + block + i * sizeof(T), sizeof(T));
            within &= (bits & without_sign) < how.limit;
        }
    }
    return within;
}

// Attention can read a free cell, too, where a NaN times zero is a NaN in someone's answer.
void check_numbers(const Numbers & how, std::span<const uint8_t> data) {
    if (data.size() % how.block != 0) {
        throw strange("rows that do not fit their type");
    }
    if (!(how.width == 4 ? within_limit<uint32_t>(data, how) : within_limit<uint16_t>(data, how))) {
        throw strange("a number that is too large or none");
    }
}

const Numbers & numbers_of(ggml_type type) {
    const auto * how = std::find_if(std::begin(known), std::end(known), [&](const Numbers & n) { return n.type == type; });
    if (how == std::end(known)) {
        throw strange("rows of a type that no cache has");
    }
    return *how;
}

uint32_t layers(ByteReader & in) {
    const uint32_t n = in.get<uint32_t>();
    if (n > most_layers) {
        throw strange(std::to_string(n) + " layers");
    }
    return n;
}

// type, bytes of a row, rows
void tensor(ByteReader & in, uint32_t rows, const Numbers & how) {
    const auto own = in.get<int32_t>();
    const uint64_t row_bytes = in.get<uint64_t>();
    if (own != how.type || row_bytes == 0 || row_bytes > most_row_bytes) {
        throw strange("a tensor of another type or size");
    }
    check_numbers(how, in.take(row_bytes * rows));
}

void transposed_tensor(ByteReader & in, uint32_t rows, ggml_type type) {
    const auto own = in.get<int32_t>();
    const uint64_t element_bytes = in.get<uint32_t>();
    const uint64_t width = in.get<uint32_t>();
    if (own != type || element_bytes != ggml_type_size(type) || width > most_row_bytes) {
        throw strange("a tensor of another type or size");
    }
    check_numbers(numbers_of(type), in.take(element_bytes * width * rows));
}

std::vector<llama_pos> attention_cells(ByteReader & in, uint32_t cells, bool wide) {
    std::vector<llama_pos> positions;
    in.expect(uint64_t{cells} * (wide ? 24 : 12));
    for (uint32_t i = 0; i < cells; ++i) {
        positions.push_back(in.get<llama_pos>());
        if (in.get<uint32_t>() != 1) {
            throw strange("a cell of several sequences");
        }
        if (wide) {
            const auto x = in.get<llama_pos>();
            const auto y = in.get<llama_pos>();
            in.get<llama_token>();
            if (x < 0 || y < 0) {
                throw strange("a position below zero");
            }
        }
        in.get<llama_seq_id>(); // where it was; llama.cpp reads past it too
    }
    return positions;
}

// Each row of the trace in a cell of its own; in a window's cache the first rows may be missing.
void check_positions(std::vector<llama_pos> positions, const Trace & trace, bool window) {
    std::sort(positions.begin(), positions.end());
    if (positions.empty() ? !window : static_cast<size_t>(trace.rows()) < positions.size()) {
        throw strange("more or fewer cells than rows");
    }
    auto at = positions.end();
    for (auto run = trace.runs().rbegin(); run != trace.runs().rend() && at != positions.begin(); ++run) {
        const auto first = std::lower_bound(positions.begin(), at, run->start);
        const auto behind = std::lower_bound(first, at, run->start + run->positions);
        const auto count = at - first;
        const bool whole = first != positions.begin() || count == run->rows;
        const bool once = !run->key.empty() || std::adjacent_find(first, at) == at;
        // Of text that is not whole, the end must be there without a gap.
        const bool end = run->key.empty() && count > 0 ? *(at - 1) == run->start + run->positions - 1 &&
                                                             *first == run->start + run->positions - count
                                                       : true;
        if (behind != at || count > run->rows || (whole && count != run->rows) || !once || !end) {
            throw strange("positions that are not those of its rows");
        }
        at = first;
    }
    if (at != positions.begin() || (!window && static_cast<size_t>(trace.rows()) != positions.size())) {
        throw strange("positions that are not those of its rows");
    }
}

// Reads one part's body; throws Error(state) where it cannot be right. with_values: some models
// (MLA) keep no values of their own.
void read_attention(ByteReader & in, uint32_t cells, const KvShape & shape, bool with_values, bool window,
                    const Trace & trace) {
    check_positions(attention_cells(in, cells, shape.wide_cells), trace, window);
    if ((in.get<uint32_t>() != 0) != shape.transposed_values) {
        throw strange("values in another order");
    }
    const uint32_t n_layers = layers(in);
    for (uint32_t i = 0; i < n_layers; ++i) {
        tensor(in, cells, numbers_of(shape.type_k));
    }
    for (uint32_t i = 0; with_values && i < n_layers; ++i) {
        shape.transposed_values ? transposed_tensor(in, cells, shape.type_v) : tensor(in, cells, numbers_of(shape.type_v));
    }
}

void read_recurrent(ByteReader & in, uint32_t cells, const Trace & trace) {
    for (uint32_t i = 0; i < cells; ++i) {
        const auto position = in.get<llama_pos>();
        if (in.get<uint32_t>() != 0 || position < 0 || position >= trace.positions()) {
            throw strange("a recurrent state of another position");
        }
    }
    if (cells != 1 || in.get<uint32_t>() != 0) {
        throw strange("not one recurrent state");
    }
    layers(in);
    while (!in.at_end()) {
        tensor(in, cells, of_state);
    }
}

using Kinds = std::vector<KvPart::Kind>;

std::vector<Kinds> kinds_of(const KvShape & shape) {
    using enum KvPart::Kind;
    if (!shape.attention) {
        return {{recurrent}};
    }
    std::vector<Kinds> all = {{attention}};
    if (shape.window) {
        all.insert(all.begin(), {attention, attention});
    }
    for (Kinds & kinds : all) {
        if (shape.recurrent) {
            kinds.push_back(recurrent);
        }
    }
    return all;
}

// The second cache of two is that of the layers with a window; one alone may be either.
bool may_lack_rows(const KvShape & shape, size_t index, size_t attention_parts) {
    return shape.window && (index == 1 || attention_parts == 1);
}

KvPart next_part(ByteReader & in, const Kinds & kinds, size_t index, const KvShape & shape, bool with_values,
                 const Trace & trace) {
    KvPart part{kinds[index], 0, {}};
    if (part.kind == KvPart::Kind::recurrent) {
        part.cells = in.get<uint32_t>();
        const size_t begin = in.at();
        read_recurrent(in, part.cells, trace);
        part.body = in.since(begin);
        return part;
    }
    const auto attention_parts = static_cast<size_t>(std::count(kinds.begin(), kinds.end(), KvPart::Kind::attention));
    const uint32_t n_streams = in.get<uint32_t>();
    for (uint32_t stream = 0; stream < n_streams; ++stream) {
        const uint32_t cells = in.get<uint32_t>();
        if (cells == 0) {
            continue;
        }
        part.cells = cells;
        const size_t begin = in.at();
        read_attention(in, cells, shape, with_values, may_lack_rows(shape, index, attention_parts), trace);
        part.body = in.since(begin);
    }
    return part;
}

std::optional<std::vector<KvPart>> try_parts(std::span<const uint8_t> blob, const Kinds & kinds, const KvShape & shape,
                                             bool with_values, const Trace & trace) {
    try {
        ByteReader in(blob);
        std::vector<KvPart> parts;
        if (in.get<uint32_t>() != blob_magic) {
            return std::nullopt;
        }
        in.get<llama_seq_id>();
        for (size_t i = 0; i < kinds.size(); ++i) {
            parts.push_back(next_part(in, kinds, i, shape, with_values, trace));
        }
        return in.at_end() ? std::optional(std::move(parts)) : std::nullopt;
    } catch (const Error &) {
        return std::nullopt;
    }
}

} // namespace

std::vector<KvPart> parts_of_blob(std::span<const uint8_t> blob, const KvShape & shape, const Trace & trace) {
    for (const Kinds & kinds : kinds_of(shape)) {
        for (const bool with_values : {true, false}) {
            if (auto parts = try_parts(blob, kinds, shape, with_values, trace)) {
                return std::move(*parts);
            }
        }
    }
    throw Error(Errc::model_capability, "the state of its kind of memory cannot be saved", {},
                "Caches of keys and values, with or without a sliding window, and recurrent states can");
}

void forget_owner(std::vector<uint8_t> & blob, const std::vector<KvPart> & parts, const KvShape & shape) {
    const size_t cell_bytes = shape.wide_cells ? 24 : 12;
    for (const KvPart & part : parts) {
        if (part.kind == KvPart::Kind::attention && part.cells > 0) {
            const auto begin = static_cast<size_t>(part.body.data() - blob.data());
            for (size_t i = 0; i < part.cells; ++i) {
                std::memset(blob.data() + begin + (i + 1) * cell_bytes - sizeof(llama_seq_id), 0, sizeof(llama_seq_id));
            }
        }
    }
}

void check_parts(const std::vector<KvPart> & parts, const KvShape & shape, const Trace & trace) {
    Kinds kinds;
    for (const KvPart & part : parts) {
        kinds.push_back(part.kind);
    }
    const std::vector<Kinds> possible = kinds_of(shape);
    if (std::find(possible.begin(), possible.end(), kinds) == possible.end()) {
        throw strange("it is that of another kind of model");
    }
    const auto attention_parts = static_cast<size_t>(std::count(kinds.begin(), kinds.end(), KvPart::Kind::attention));
    for (size_t i = 0; i < parts.size(); ++i) {
        const bool window = may_lack_rows(shape, i, attention_parts);
        ByteReader in(parts[i].body);
        if (parts[i].kind == KvPart::Kind::recurrent) {
            read_recurrent(in, parts[i].cells, trace);
            continue;
        }
        if (parts[i].cells == 0) {
            check_positions({}, trace, window);
            if (!in.at_end()) {
                throw strange("a body without cells");
            }
            continue;
        }
        std::optional<Error> first;
        for (const bool with_values : {true, false}) {
            try {
                in = ByteReader(parts[i].body);
                read_attention(in, parts[i].cells, shape, with_values, window, trace);
                if (!in.at_end()) {
                    throw strange("bytes that belong to nothing");
                }
                first.reset();
                break;
            } catch (const Error & error) {
                first = first ? first : error;
            }
        }
        if (first) {
            throw Error(*first);
        }
    }
}

std::vector<uint8_t> blob_of_parts(const std::vector<KvPart> & parts, uint32_t n_seq) {
    size_t size = 8;
    for (const KvPart & part : parts) {
        size += 4 + (part.kind == KvPart::Kind::attention ? size_t{4} * n_seq : 0) + part.body.size();
    }
    std::vector<uint8_t> out(size);
    uint8_t * at = out.data();
    const auto put = [&](uint32_t value) {
        std::memcpy(at, &value, sizeof(value));
        at += sizeof(value);
    };
    put(blob_magic);
    put(0);
    for (const KvPart & part : parts) {
        if (part.kind == KvPart::Kind::attention) {
            put(n_seq);
        }
        put(part.cells);
        at = std::copy(part.body.begin(), part.body.end(), at);
        for (uint32_t i = 1; part.kind == KvPart::Kind::attention && i < n_seq; ++i) {
            put(0);
        }
    }
    return out;
}

} // namespace mullama
