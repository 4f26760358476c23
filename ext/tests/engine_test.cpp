// The engine under threads, on a random model of two layers. Meant for the sanitizer builds: what it
// asserts is little, what the sanitizers watch is all of it.
#include "backend.hpp"
#include "check.hpp"
#include "engine.hpp"
#include "tiny_gguf.hpp"

#include <random>
#include <thread>

using namespace mullama;
using namespace std::chrono_literals;

namespace {

constexpr int64_t width = 32;

// A vocabulary of three control tokens and the 256 bytes, and random weights.
void write_model(const std::string & path) {
    const gguf_context_ptr header(gguf_init_empty());
    gguf_set_val_str(header.get(), "general.architecture", "llama");
    gguf_set_val_str(header.get(), "tokenizer.ggml.model", "llama");
    std::vector<std::string> words{"<unk>", "<s>", "</s>"};
    for (int byte = 0; byte < 256; ++byte) {
        char name[8];
        std::snprintf(name, sizeof(name), "<0x%02X>", static_cast<unsigned>(byte));
        words.emplace_back(name);
    }
    const auto n_vocab = static_cast<int64_t>(words.size());
    std::vector<const char *> raw;
    std::vector<int32_t> types;
    for (const std::string & word : words) {
        raw.push_back(word.c_str());
        types.push_back(raw.size() == 1 ? LLAMA_TOKEN_TYPE_UNKNOWN : raw.size() < 4 ? LLAMA_TOKEN_TYPE_CONTROL : LLAMA_TOKEN_TYPE_BYTE);
    }
    const std::vector<float> scores(words.size(), 0.0F);
    gguf_set_arr_str(header.get(), "tokenizer.ggml.tokens", raw.data(), raw.size());
    gguf_set_arr_data(header.get(), "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores.data(), scores.size());
    gguf_set_arr_data(header.get(), "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());
    const std::pair<const char *, uint32_t> numbers[] = {
        {"llama.context_length", 256},    {"llama.embedding_length", width},    {"llama.block_count", 2},
        {"llama.feed_forward_length", 64}, {"llama.attention.head_count", 2},    {"tokenizer.ggml.bos_token_id", 1},
        {"tokenizer.ggml.eos_token_id", 2}};
    for (const auto & [key, value] : numbers) {
        gguf_set_val_u32(header.get(), key, value);
    }
    gguf_set_val_f32(header.get(), "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    const ggml_context_ptr context(ggml_init({8 << 20, nullptr, false}));
    uint64_t next = 0;
    const auto add = [&](const std::string & name, int64_t columns, int64_t rows) {
        ggml_tensor * tensor = rows == 0 ? ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, columns)
                                         : ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, columns, rows);
        ggml_set_name(tensor, name.c_str());
        for (int64_t i = 0; i < ggml_nelements(tensor); ++i) {
            static_cast<float *>(tensor->data)[i] = rows == 0 ? 1.0F : 5.0F * weight_at(next++);
        }
        gguf_add_tensor(header.get(), tensor);
    };
    add("token_embd.weight", width, n_vocab);
    add("output.weight", width, n_vocab);
    add("output_norm.weight", width, 0);
    for (int layer = 0; layer < 2; ++layer) {
        const std::string block = "blk." + std::to_string(layer) + ".";
        for (const char * name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
            add(block + name + ".weight", width, width);
        }
        add(block + "ffn_gate.weight", width, 64);
        add(block + "ffn_up.weight", width, 64);
        add(block + "ffn_down.weight", 64, width);
        add(block + "attn_norm.weight", width, 0);
        add(block + "ffn_norm.weight", width, 0);
    }
    gguf_write_to_file(header.get(), path.c_str(), false);
}

struct World {
    World() {
        init_backends(MULLAMA_TEST_LIB);
        write_model(folder.file("tiny.gguf"));
        model = Model::load(folder.file("tiny.gguf"), {}, nullptr);
        for (const char * text : {"a", "hello there", "hello there, you", "something else that is longer than the others"}) {
            prompts.push_back(prompt_of_parts(*model, nullptr, {{text, false, nullptr}}, true));
        }
    }
    TempFolder folder;
    std::shared_ptr<const Model> model;
    std::vector<std::shared_ptr<const Prompt>> prompts;
};

EngineParams small(int32_t n_parallel) {
    EngineParams params;
    params.n_ctx = 128;
    params.n_parallel = n_parallel;
    params.n_batch = params.n_ubatch = 64;
    params.threads = params.threads_batch = 1;
    return params;
}

// Reads until the end. How many tokens came.
size_t read(Stream & stream, const std::function<void()> & between = [] {}) {
    size_t count = 0;
    while (!stream.terminal()) {
        stream.wait(100ms);
        if (const auto question = stream.take_question()) {
            stream.answer(question->logits);
        }
        count += stream.take().size();
        between();
    }
    CHECK(stream.take().empty());
    return count;
}

void use(Engine & engine, const World & world, unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 12; ++i) {
        SamplingParams sampling;
        sampling.temperature = random() % 2 == 0 ? 0.0F : 1.0F;
        sampling.samplers = {"temperature"};
        sampling.banned_strings = random() % 4 == 0 ? std::vector<std::string>{"a", "\x01"} : std::vector<std::string>{};
        Limits limits;
        limits.max_tokens = static_cast<int32_t>(random() % 40) + 1;
        limits.max_time_ms = random() % 5 == 0 ? 1 : -1;
        limits.buffer_tokens = random() % 2 == 0 ? 1 : 64;
        limits.client = std::to_string(random() % 3);
        const bool asks = random() % 5 == 0;
        const auto grammar = random() % 4 == 0 ? Grammar::gbnf("root ::= [a-z]+", "root") : nullptr;
        std::shared_ptr<Stream> stream;
        try {
            stream = engine.submit(world.prompts[random() % world.prompts.size()], sampling, limits, asks, grammar);
        } catch (const Error & error) {
            CHECK(error.code == Errc::engine_closed);
            return;
        }
        switch (random() % 4) {
            case 0: stream->cancel(); break; // and is not read
            case 1: read(*stream, [&] { stream->cancel(); }); break;
            case 2: read(*stream, [&] { stream->set_grammar(nullptr); }); break;
            default: CHECK(read(*stream) <= static_cast<size_t>(limits.max_tokens));
        }
    }
}

} // namespace

TEST(threads_submit_read_and_cancel_at_once) {
    const World world;
    for (int32_t n_parallel : {1, 3}) {
        Engine engine(world.model, nullptr, small(n_parallel), nullptr);
        std::vector<std::thread> threads;
        for (unsigned seed = 0; seed < 4; ++seed) {
            threads.emplace_back([&, seed] { use(engine, world, seed + 100 * static_cast<unsigned>(n_parallel)); });
        }
        for (std::thread & thread : threads) {
            thread.join();
        }
        for (int i = 0; i < 1000 && engine.counters().active + engine.counters().queued > 0; ++i) {
            std::this_thread::sleep_for(10ms);
        }
        CHECK(engine.counters().active == 0);
        CHECK(engine.counters().queued == 0);
    }
}

TEST(an_engine_closes_under_its_users) {
    const World world;
    for (unsigned round = 0; round < 8; ++round) {
        Engine engine(world.model, nullptr, small(2), nullptr);
        std::vector<std::thread> threads;
        for (unsigned seed = 0; seed < 3; ++seed) {
            threads.emplace_back([&, seed] { use(engine, world, seed + 10 * round); });
        }
        threads.emplace_back([&] { engine.close(); });
        std::this_thread::sleep_for(std::chrono::milliseconds(round));
        engine.close();
        for (std::thread & thread : threads) {
            thread.join();
        }
    }
}
