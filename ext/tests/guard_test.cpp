#include "check.hpp"
#include "guard.hpp"

#include "ggml-cpp.h"

using namespace mullama;

TEST(an_abort_under_a_guard_is_an_error) {
    install_abort_handler();
    bool caught = false;
    try {
        guarded(Errc::media, "picture.png", []() -> int { GGML_ABORT("cannot do %d", 7); });
    } catch (const Error & error) {
        caught = true;
        CHECK(error.code == Errc::media);
        CHECK(error.where == "picture.png");
        CHECK(std::string(error.what()).find("cannot do 7") != std::string::npos);
        CHECK(std::string(error.what()).find('/') == std::string::npos); // no path of the build machine
    }
    CHECK(caught);
}

TEST(an_abort_inside_ggml_c_code_can_be_left) {
    bool caught = false;
    const ggml_context_ptr context(ggml_init({1 << 16, nullptr, false}));
    try {
        guarded(Errc::decode, "", [&] {
            ggml_tensor * a = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 3);
            ggml_tensor * b = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 4);
            return ggml_mul_mat(context.get(), a, b); // asserts on the shapes
        });
    } catch (const Error &) {
        caught = true;
    }
    CHECK(caught);
}
