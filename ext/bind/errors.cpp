// The only place where a native error becomes a Python one.
#include "bind.hpp"
#include "error.hpp"
#include "guard.hpp"

namespace mullama::bind {

namespace {

const char * class_of(Errc code) {
    switch (code) {
        case Errc::invalid_option: return "InvalidOptionError";
        case Errc::model_load: return "ModelLoadError";
        case Errc::model_capability: return "ModelCapabilityError";
        case Errc::chat_template: return "ChatTemplateError";
        case Errc::media: return "MediaError";
        case Errc::engine_closed: return "EngineClosedError";
        case Errc::context_overflow: return "ContextOverflowError";
        case Errc::overloaded: return "OverloadedError";
        case Errc::decode: return "DecodeError";
        case Errc::quantize: return "QuantizeError";
        case Errc::quantize_cancelled: return "QuantizeCancelledError";
        case Errc::grammar: return "GrammarError";
        case Errc::answer: return "AnswerFormatError";
        case Errc::session: return "SessionError";
        case Errc::state: return "StateError";
    }
    return "MullamaError";
}

} // namespace

nb::object python_error_of(const Error & error) {
    const auto or_none = [](const std::string & text) -> nb::object {
        return text.empty() ? nb::none() : nb::cast(text);
    };
    nb::object type = nb::module_::import_("mullama_media.errors").attr(class_of(error.code));
    return type(std::string(error.what()), nb::arg("where") = or_none(error.where), nb::arg("hint") = or_none(error.hint));
}

void bind_errors() {
    nb::register_exception_translator([](const std::exception_ptr & pointer, void *) {
        try {
            std::rethrow_exception(pointer);
        } catch (const Error & error) {
            const nb::object exception = python_error_of(error);
            PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(exception.ptr())), exception.ptr());
        }
    });
}

} // namespace mullama::bind
