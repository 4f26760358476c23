// All casters of ours, in one header (nanobind needs them seen alike everywhere).
#pragma once

#include "options.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <string_view>
#include <type_traits>

namespace nb = nanobind;

namespace nanobind::detail {

// Text. Files and models hold bytes that are not always UTF-8; in Python those are U+FFFD. The other
// way, a str with half of a surrogate pair does not fit. Holds for std::string and std::string_view.
template <class T>
struct type_caster<T, std::enable_if_t<std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>, int>> {
    NB_TYPE_CASTER(T, const_name("str"))

    bool from_python(handle source, uint32_t, cleanup_list *) noexcept {
        Py_ssize_t size = 0;
        const char * text = PyUnicode_AsUTF8AndSize(source.ptr(), &size);
        if (text == nullptr) {
            PyErr_Clear();
            return false;
        }
        value = T(text, static_cast<size_t>(size));
        return true;
    }

    static handle from_cpp(const T & text, rv_policy, cleanup_list *) noexcept {
        return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
    }
};

// Options: an instance of the Python dataclass that Fields<T> names.
template <class T>
struct type_caster<T, std::enable_if_t<mullama::bind::is_options<T>, int>> {
    NB_TYPE_CASTER(T, const_name("object"))

    bool from_python(handle source, uint32_t, cleanup_list *) {
        using Fields = mullama::bind::Fields<T>;
        try {
            if (!isinstance(source, module_::import_(Fields::module).attr(Fields::name))) {
                return false;
            }
            Fields::visit(value, [&](const char * field, auto & to) {
                const object from = source.attr(field);
                if (!from.is_none()) {
                    to = nanobind::cast<std::decay_t<decltype(to)>>(from);
                }
            });
            return true;
        } catch (const python_error &) {
            return false;
        } catch (const cast_error &) {
            return false;
        }
    }
};

} // namespace nanobind::detail
