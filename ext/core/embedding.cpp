#include "embedding.hpp"

#include "model_tensors.hpp"
#include "prompt.hpp"

#include <algorithm>
#include <cmath>

namespace mullama {

namespace {

std::string metadata(const Model & model, const std::string & key) {
    char value[128] = {};
    return llama_model_meta_val_str(model.get(), key.c_str(), value, sizeof(value)) < 0 ? "" : value;
}

std::string pooling_of_file(const Model & model) {
    static const std::vector<std::string> names = {"none", "mean", "cls", "last", "rank"}; // enum llama_pooling_type
    const std::string value = metadata(model, metadata(model, "general.architecture") + ".pooling_type");
    for (size_t i = 0; i < names.size(); ++i) {
        if (value == std::to_string(i)) {
            return names[i];
        }
    }
    throw Error(Errc::invalid_option, "the model does not say how it pools", "EngineParams.pooling",
                "Choose one: mean and last are usual for decoders");
}

} // namespace

std::string pooling_of(const Model & model, const std::string & asked) {
    if (asked == "off") {
        return asked;
    }
    if (llama_model_has_encoder(model.get()) && llama_model_has_decoder(model.get())) {
        throw Error(Errc::model_capability, "an encoder with a decoder makes no embeddings", model.path());
    }
    const std::string pooling = asked == "model" ? pooling_of_file(model) : asked;
    const bool has_head = has_tensor(model, "cls.weight") || has_tensor(model, "cls.output.weight");
    if (pooling == "rank" && !has_head) {
        throw Error(Errc::model_capability, "it has no classification head, so it cannot score", model.path(),
                    "Use a reranker or classifier; an embedding model compares texts by their embeddings");
    }
    return pooling;
}

Pooler::Pooler(Pooling kind, int32_t width, const Prompt & prompt, const EmbeddingParams & params)
    : kind_(kind), width_(width), normalize_(params.normalize),
      dimensions_(params.dimensions > 0 ? params.dimensions : width) {
    if (dimensions_ > width) {
        throw Error(Errc::invalid_option,
                    "embeddings of this model have " + std::to_string(width) + " dimensions, not " +
                        std::to_string(dimensions_),
                    "EmbeddingParams.dimensions");
    }
    out_.tokens = prompt.row_tokens();
    out_.width = dimensions_;
}

Pooler::Pooler(int32_t width, const Prompt & prompt) : kind_(Pooling::rank), width_(width), dimensions_(width) {
    out_.tokens = prompt.row_tokens();
    out_.width = width;
}

void Pooler::add(const float * row) {
    const auto n = static_cast<size_t>(dimensions_);
    ++rows_;
    switch (kind_) {
        case Pooling::none: out_.values.insert(out_.values.end(), row, row + n); break;
        case Pooling::mean:
            sum_.resize(n);
            for (size_t i = 0; i < n; ++i) {
                sum_[i] += static_cast<double>(row[i]);
            }
            break;
        case Pooling::cls:
            if (rows_ == 1) {
                out_.values.assign(row, row + n);
            }
            break;
        case Pooling::last:
        case Pooling::rank: out_.values.assign(row, row + n); break;
    }
}

void Pooler::finish(float * row) const {
    double squares = 0;
    for (int32_t i = 0; i < dimensions_; ++i) {
        squares += static_cast<double>(row[i]) * static_cast<double>(row[i]);
    }
    const double scale = squares > 0 ? 1.0 / std::sqrt(squares) : 0.0;
    for (int32_t i = 0; i < dimensions_; ++i) {
        row[i] = static_cast<float>(static_cast<double>(row[i]) * scale);
    }
}

Embedding Pooler::take() {
    if (kind_ == Pooling::mean) {
        out_.values.resize(sum_.size());
        std::transform(sum_.begin(), sum_.end(), out_.values.begin(),
                       [this](double sum) { return static_cast<float>(sum / rows_); });
    }
    out_.rows = static_cast<int32_t>(out_.values.size()) / dimensions_;
    for (int32_t row = 0; normalize_ && row < out_.rows; ++row) {
        finish(&out_.values[static_cast<size_t>(row) * static_cast<size_t>(dimensions_)]);
    }
    return std::move(out_);
}

} // namespace mullama
