// All casters of ours, in one header (nanobind needs them seen alike everywhere).
#pragma once

#include "options.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <type_traits>

namespace nb = nanobind;

namespace nanobind::detail {

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
