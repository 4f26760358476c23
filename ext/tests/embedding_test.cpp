#include "check.hpp"
#include "embedding.hpp"
#include "prompt.hpp"

#include <cmath>

using namespace mullama;

namespace {

using Floats = std::vector<float>;

Prompt three_tokens() {
    Prompt prompt;
    prompt.chunks.emplace_back();
    prompt.chunks[0].tokens = {7, 8, 9};
    prompt.chunks[0].n_tokens = prompt.n_tokens = 3;
    return prompt;
}

Embedding pooled(Pooling kind, const EmbeddingParams & params) {
    Pooler pooler(kind, 2, three_tokens(), params);
    for (const Floats & row : {Floats{3, 4}, Floats{0, 0}, Floats{6, -1}}) {
        pooler.add(row.data());
    }
    return pooler.take();
}

bool near(const Floats & a, const Floats & b) {
    bool same = a.size() == b.size();
    for (size_t i = 0; same && i < a.size(); ++i) {
        same = std::abs(a[i] - b[i]) < 1e-6F;
    }
    return same;
}

} // namespace

TEST(rows_are_pooled_as_asked) {
    EmbeddingParams raw;
    raw.normalize = false;
    CHECK(near(pooled(Pooling::mean, raw).values, {3, 1}));
    CHECK(near(pooled(Pooling::cls, raw).values, {3, 4}));
    CHECK(near(pooled(Pooling::last, raw).values, {6, -1}));
    const Embedding all = pooled(Pooling::none, raw);
    CHECK(near(all.values, {3, 4, 0, 0, 6, -1}));
    CHECK(all.rows == 3 && all.width == 2);
    CHECK((all.tokens == std::vector<llama_token>{7, 8, 9}));
}

TEST(vectors_have_length_one_and_nothing_stays_nothing) {
    CHECK(near(pooled(Pooling::cls, {}).values, {0.6F, 0.8F}));
    CHECK(near(pooled(Pooling::none, {}).values, {0.6F, 0.8F, 0, 0, 6 / std::sqrt(37.0F), -1 / std::sqrt(37.0F)}));
}

TEST(dimensions_are_cut_before_they_are_scaled) {
    EmbeddingParams params;
    params.dimensions = 1;
    CHECK(near(pooled(Pooling::none, params).values, {1, 0, 1}));
    CHECK(near(pooled(Pooling::mean, params).values, {1}));
    params.dimensions = 3;
    bool refused = false;
    try {
        pooled(Pooling::mean, params);
    } catch (const Error & error) {
        refused = error.code == Errc::invalid_option;
    }
    CHECK(refused);
}

TEST(a_sum_of_many_rows_loses_nothing) {
    Pooler pooler(Pooling::mean, 1, three_tokens(), [] {
        EmbeddingParams raw;
        raw.normalize = false;
        return raw;
    }());
    const float one = 1.0F;
    const float large = 3e7F; // float32 would drop every 1 added to it
    pooler.add(&large);
    for (int i = 1; i < 1000; ++i) {
        pooler.add(&one);
    }
    CHECK(pooler.take().values[0] == static_cast<float>((3e7 + 999) / 1000));
}
