#include "bind.hpp"
#include "media.hpp"
#include "model.hpp"
#include "model_tensors.hpp"

#include <cstring>

using namespace nb::literals;

namespace mullama::bind {

namespace {

template <class T> nb::object array_values(const gguf_context * file, int64_t id) {
    const auto * values = static_cast<const T *>(gguf_get_arr_data(file, id));
    return nb::cast(std::vector<T>(values, values + gguf_get_arr_n(file, id)));
}

nb::object text_of(const char * text) { // files hold bytes that are not always UTF-8
    return nb::steal(PyUnicode_DecodeUTF8(text, static_cast<Py_ssize_t>(std::strlen(text)), "replace"));
}

nb::object array_of(const gguf_context * file, int64_t id) {
    switch (gguf_get_arr_type(file, id)) {
        case GGUF_TYPE_UINT8: return array_values<uint8_t>(file, id);
        case GGUF_TYPE_INT8: return array_values<int8_t>(file, id);
        case GGUF_TYPE_UINT16: return array_values<uint16_t>(file, id);
        case GGUF_TYPE_INT16: return array_values<int16_t>(file, id);
        case GGUF_TYPE_UINT32: return array_values<uint32_t>(file, id);
        case GGUF_TYPE_INT32: return array_values<int32_t>(file, id);
        case GGUF_TYPE_UINT64: return array_values<uint64_t>(file, id);
        case GGUF_TYPE_INT64: return array_values<int64_t>(file, id);
        case GGUF_TYPE_FLOAT32: return array_values<float>(file, id);
        case GGUF_TYPE_FLOAT64: return array_values<double>(file, id);
        default: break;
    }
    nb::list out;
    const bool text = gguf_get_arr_type(file, id) == GGUF_TYPE_STRING;
    for (size_t i = 0; i < gguf_get_arr_n(file, id); ++i) {
        out.append(text ? text_of(gguf_get_arr_str(file, id, i))
                        : nb::object(nb::bool_(static_cast<const int8_t *>(gguf_get_arr_data(file, id))[i] != 0)));
    }
    return out;
}

nb::object value_of(const gguf_context * file, int64_t id) {
    switch (gguf_get_kv_type(file, id)) {
        case GGUF_TYPE_UINT8: return nb::int_(gguf_get_val_u8(file, id));
        case GGUF_TYPE_INT8: return nb::int_(gguf_get_val_i8(file, id));
        case GGUF_TYPE_UINT16: return nb::int_(gguf_get_val_u16(file, id));
        case GGUF_TYPE_INT16: return nb::int_(gguf_get_val_i16(file, id));
        case GGUF_TYPE_UINT32: return nb::int_(gguf_get_val_u32(file, id));
        case GGUF_TYPE_INT32: return nb::int_(gguf_get_val_i32(file, id));
        case GGUF_TYPE_UINT64: return nb::int_(gguf_get_val_u64(file, id));
        case GGUF_TYPE_INT64: return nb::int_(gguf_get_val_i64(file, id));
        case GGUF_TYPE_FLOAT32: return nb::float_(gguf_get_val_f32(file, id));
        case GGUF_TYPE_FLOAT64: return nb::float_(gguf_get_val_f64(file, id));
        case GGUF_TYPE_BOOL: return nb::bool_(gguf_get_val_bool(file, id));
        case GGUF_TYPE_STRING: return text_of(gguf_get_val_str(file, id));
        default: return array_of(file, id);
    }
}

nb::dict file_metadata(const Model & model) {
    const GgufFile file(model.path());
    nb::dict out;
    for (int64_t id = 0; id < gguf_get_n_kv(file.get()); ++id) {
        out[text_of(gguf_get_key(file.get(), id))] = value_of(file.get(), id);
    }
    return out;
}

nb::list tensor_list(const Model & model) {
    nb::list out;
    for (const GgufTensor & tensor : tensors_of(model)) {
        const auto * shape = tensor.shape.data();
        out.append(nb::make_tuple(tensor.name, std::vector<int64_t>(shape, shape + tensor.n_dims()),
                                  ggml_type_name(tensor.type), tensor.size));
    }
    return out;
}

} // namespace

void bind_model(nb::module_ & module) {
    nb::class_<LoadProgress>(module, "LoadProgress", "Watch or cancel a load from another thread.")
        .def(nb::init<>())
        .def_prop_ro("fraction", [](const LoadProgress & self) { return self.fraction.load(); }, "0 to 1")
        .def("cancel", [](LoadProgress & self) { self.cancelled = true; });

    nb::class_<Model>(module, "Model")
        .def_static(
            "load",
            [](const std::string & path, const ModelParams & params, LoadProgress * progress) {
                const nb::gil_scoped_release release;
                return std::const_pointer_cast<Model>(Model::load(path, params, progress));
            },
            "path"_a, "params"_a, "progress"_a.none() = nb::none())
        .def_prop_ro("path", &Model::path)
        .def_prop_ro("vocab_only", &Model::vocab_only)
        .def_prop_ro("description", &Model::description)
        .def("file_metadata", &file_metadata, "Every field of the file, as Python values.")
        .def("tensors", &tensor_list, "(name, shape, type, bytes), in the order of the file")
        .def_prop_ro("size_bytes", &Model::size_bytes)
        .def_prop_ro("n_params", &Model::n_params)
        .def_prop_ro("n_ctx_train", &Model::n_ctx_train)
        .def_prop_ro("n_embd", &Model::n_embd_inp)
        .def_prop_ro("n_embd_out", &Model::n_embd_out)
        .def_prop_ro("n_cls_out", &Model::n_cls_out)
        .def_prop_ro("labels", &Model::labels)
        .def_prop_ro("n_layer", &Model::n_layer)
        .def_prop_ro("n_vocab", &Model::n_vocab)
        .def_prop_ro("chat_template",
                     [](const Model & self) -> std::optional<std::string> {
                         return self.chat_template().available() ? std::optional(self.chat_template().source())
                                                                 : std::nullopt;
                     })
        .def("tokenize", &Model::tokenize, "text"_a, "add_special"_a, "parse_special"_a,
             nb::call_guard<nb::gil_scoped_release>())
        .def(
            "detokenize",
            [](const Model & self, const std::vector<llama_token> & tokens, bool special) {
                const std::string text = self.detokenize(tokens, special);
                return nb::bytes(text.data(), text.size());
            },
            "tokens"_a, "special"_a)
        .def(
            "piece",
            [](const Model & self, llama_token token, bool special) {
                const std::string text = self.piece(token, special);
                return nb::bytes(text.data(), text.size());
            },
            "token"_a, "special"_a)
        .def("is_eog", &Model::is_eog, "token"_a);

    nb::class_<Media>(module, "Media")
        .def_static(
            "load",
            [](std::shared_ptr<Model> model, const std::string & path, const MediaParams & params) {
                const nb::gil_scoped_release release;
                return Media::load(std::move(model), path, params);
            },
            "model"_a, "path"_a, "params"_a)
        .def_prop_ro("path", &Media::path)
        .def_prop_ro("vision", &Media::vision)
        .def_prop_ro("audio", &Media::audio)
        .def_prop_ro("sample_rate", &Media::sample_rate, "Hz; 0 without audio");
}

} // namespace mullama::bind
